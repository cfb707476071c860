// SPDX-License-Identifier: MIT
// Do the cgroup paths that container runtimes and systemd really make tell container and unit?
#include "kernel/cgroup.h"
#include "support/catch.h"

using namespace culprit;

namespace {

const std::string kId = "3c1d9f0e5b7a4c2d8e6f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d";
const std::string kOuter = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const std::string kPod = "kubepods-burstable-pod0b1c2d3e_4f5a_6b7c_8d9e_0f1a2b3c4d5e.slice";
const std::string kUid = "pod0b1c2d3e-4f5a-6b7c-8d9e-0f1a2b3c4d5e";

struct Shape {
    std::string path;
    std::string runtime; // empty: no container
    std::string unit;
};

} // namespace

TEST_CASE("container and unit of the cgroup paths that runtimes make", "[cgroup_test]") {
    const Shape shapes[] = {
        // docker: cgroupfs driver, systemd driver, in docker, compose under a slice of its own
        {"/docker/" + kId, "docker", ""},
        {"/system.slice/docker-" + kId + ".scope", "docker", ""},
        {"/docker/" + kOuter + "/docker/" + kId, "docker", ""},
        {"/system.slice/docker-" + kOuter + ".scope/docker/" + kId, "docker", ""},
        {"/shop.slice/docker-" + kId + ".scope", "docker", ""},
        // systemd inside a container
        {"/system.slice/docker-" + kId + ".scope/system.slice/nginx.service", "docker",
         "nginx.service"},
        {"/docker/" + kId + "/init.scope", "docker", "init.scope"},
        // kubernetes: containerd, CRI-O, docker, by systemd and by cgroupfs
        {"/kubepods.slice/kubepods-burstable.slice/" + kPod + "/cri-containerd-" + kId + ".scope",
         "containerd", ""},
        {"/kubepods.slice/kubepods-burstable.slice/" + kPod + "/crio-" + kId + ".scope", "cri-o",
         ""},
        {"/kubepods.slice/" + kPod + "/crio-" + kId + ".scope/container", "cri-o", ""},
        {"/kubepods.slice/" + kPod + "/docker-" + kId + ".scope", "docker", ""},
        {"/kubepods/burstable/" + kUid + "/" + kId, "container", ""},
        {"/kubepods/" + kUid + "/crio-" + kId, "cri-o", ""},
        {"/system.slice/containerd.service/" + kPod + ":cri-containerd:" + kId, "containerd",
         "containerd.service"},
        {"/" + kPod + ":cri-containerd:" + kId, "containerd", ""},
        // kind: kubernetes in docker
        {"/docker/" + kOuter + "/kubelet.slice/kubelet-kubepods.slice/kubelet-" + kPod +
             "/cri-containerd-" + kId + ".scope",
         "containerd", ""},
        {"/docker/" + kOuter + "/kubelet/kubepods/besteffort/" + kUid + "/" + kId, "container", ""},
        // containerd without kubernetes
        {"/k8s.io/" + kId, "containerd", ""},
        {"/system.slice/nerdctl-" + kId + ".scope", "containerd", ""},
        {"/default/" + kId, "container", ""},
        // podman: root, rootless, cgroupfs, split cgroups of a service
        {"/machine.slice/libpod-" + kId + ".scope", "podman", ""},
        {"/machine.slice/libpod-" + kId + ".scope/container", "podman", ""},
        {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId +
             ".scope/container",
         "podman", ""},
        {"/libpod_parent/libpod-" + kId, "podman", ""},
        {"/machine.slice/machine-libpod_pod_" + kOuter + ".slice/libpod-" + kId + ".scope",
         "podman", ""},
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-" +
             kId,
         "podman", "web.service"},
        // amazon ecs
        {"/ecs/0123456789abcdef0123456789abcdef/" + kId, "container", ""},
        // seen from inside a cgroup namespace
        {"/../../docker-" + kId + ".scope", "docker", ""},
        // helpers of runtimes are no containers
        {"/machine.slice/libpod-conmon-" + kId + ".scope", "", "libpod-conmon-" + kId + ".scope"},
        {"/system.slice/crio-conmon-" + kId + ".scope", "", "crio-conmon-" + kId + ".scope"},
        {"/system.slice/docker.service", "", "docker.service"},
    };
    for (const Shape& shape : shapes) {
        CAPTURE(shape.path);
        CHECK(container_of(shape.path) ==
              (shape.runtime.empty() ? "" : shape.runtime + "://" + kId));
        CHECK(unit_of(shape.path) == shape.unit);
    }
}

TEST_CASE("units of services, users and sockets", "[cgroup_test]") {
    CHECK(unit_of("/system.slice/ssh.service") == "ssh.service");
    CHECK(unit_of("/system.slice/system-getty.slice/getty@tty1.service") == "getty@tty1.service");
    CHECK(unit_of("/user.slice/user-1000.slice/session-3.scope") == "session-3.scope");
    CHECK(unit_of("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service") ==
          "foo.service");
    CHECK(unit_of("/user.slice/user-1000.slice/user@1000.service/init.scope") == "init.scope");
    CHECK(unit_of("/system.slice/cups.socket") == "cups.socket");
    CHECK(unit_of("/system.slice/web.service/worker") == "web.service");
    CHECK(unit_of("/init.scope") == "init.scope");
    CHECK(unit_of("/user.slice").empty());
}

TEST_CASE("what is no container's id is none", "[cgroup_test]") {
    for (const std::string& path :
         {std::string(), std::string("/"), std::string("////"), "/docker/" + kId.substr(1),
          "/docker/" + kId + "0.service", "/docker/" + kId.substr(1) + "G",
          "/docker/" + kId.substr(1) + "A", "/tmp-" + kId, "/x:y:" + kId, "/:" + kId, "/a:" + kId,
          std::string("/lxc.payload.web"), "/machine.slice/libpod_pod_" + kId + ".slice"}) {
        CAPTURE(path);
        CHECK(container_of(path).empty());
    }
}

TEST_CASE("of several cgroups the most telling is taken", "[cgroup_test]") {
    CHECK(pick_cgroup("0::/system.slice/ssh.service\n") == "/system.slice/ssh.service");
    // systemd with v1 and v2 side by side
    CHECK(pick_cgroup("4:memory:/user.slice\n1:name=systemd:/user.slice/session-3.scope\n0::/\n") ==
          "/user.slice/session-3.scope");
    CHECK(pick_cgroup("4:memory:/m\n1:name=systemd:/user.slice/session-3.scope\n"
                      "0::/user.slice/session-3.scope\n") == "/user.slice/session-3.scope");
    // docker there: only v1 knows the container
    CHECK(pick_cgroup("9:memory:/docker/" + kId + "\n1:name=systemd:/docker/" + kId +
                      "\n0::/system.slice/containerd.service\n") == "/docker/" + kId);
    // no systemd at all
    CHECK(pick_cgroup("9:name=systemd:/\n4:memory:/jobs/7\n3:cpuset:/\n0::/\n") == "/jobs/7");
    CHECK(pick_cgroup("3:cpu,cpuacct:/a\n2:pids:/b\n") == "/a");
    CHECK(pick_cgroup("3:cpu:/\n0::/\n") == "/");
    // a removed cgroup, and a name with a colon
    CHECK(pick_cgroup("0::/a.service (deleted)\n") == "/a.service");
    CHECK(pick_cgroup("0::/a:b:c\n") == "/a:b:c");
}

TEST_CASE("damaged lists of cgroups give nothing", "[cgroup_test]") {
    for (const char* text : {"", "\n\n", "0", "0:", "0::", "0::\n", "x"}) {
        CAPTURE(text);
        CHECK(pick_cgroup(text).empty());
    }
}
