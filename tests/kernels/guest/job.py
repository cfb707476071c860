# SPDX-License-Identifier: MIT
"""Runs in a guest: the steps of /plan.json, one after the other; each leaves its result in /out/results.json."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

CULPRIT = "/culprit/culprit"
OUT = pathlib.Path("/out")
SKIPPED = 77
STEP_SECONDS = 150
TROUBLE = re.compile(r"WARNING|BUG:|Oops|RIP:|Call Trace|general protection|soft lockup|rcu.*stall")


def call(command, seconds=STEP_SECONDS):
    """Exit status (None: too long), standard output, standard error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        return None, *((text or b"").decode(errors="replace") for text in (late.stdout, late.stderr))


def outcome(name, status, text):
    """One line of the result: what a test or scenario came to, and the last it said unless it went well."""
    said = [line for line in text.strip().splitlines() if line.strip()]
    reason = next((line for line in said if line.startswith("SKIP")), " | ".join(said[-12:]))
    result = {0: "ok", SKIPPED: "skip", None: "too long"}.get(status, "failed")
    return {"name": name, "result": result, "why": "" if status == 0 else reason}


def doctor(_):
    status, told, log = call([CULPRIT, "doctor", "--debug", "--output", "json"])
    (OUT / "doctor.log").write_text(log)
    if status not in (0, 1):
        return {"error": log[-500:]}
    return {"report": json.loads(told), "instructions": instructions(log)}


def instructions(log):
    """{program: instructions that the verifier went through}."""
    counts, program = {}, None
    for line in log.splitlines():
        begin = re.search(r"prog '(\w+)': -- BEGIN PROG LOAD LOG", line)
        program = begin[1] if begin else program
        done = re.search(r"processed (\d+) insns", line)
        if done and program:
            counts[program] = int(done[1])
    return counts


def map_bytes(pid):
    """What the kernel charges for the maps a process has open."""
    maps = {}  # several descriptors may be of the same one
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = entry.read_text()
        except FileNotFoundError:
            continue
        told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if "map_type" in told:
            maps[told["map_id"].strip()] = int(told["memlock"])
    return sum(maps.values())


def diagnose(seconds, meanwhile):
    """The verdict and what `meanwhile` of the process returned, called once it watches."""
    with subprocess.Popen([CULPRIT, "diagnose", "--debug", "--for", f"{seconds}s", "--output", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as culprit:
        log = []
        for line in culprit.stderr:
            log.append(line)
            if "attached after" in line:
                break
        between = meanwhile(culprit.pid)
        told, rest = culprit.communicate(timeout=STEP_SECONDS)
    if culprit.returncode not in (0, 1, 3):
        raise RuntimeError(f"culprit ended with {culprit.returncode}: {rest[-300:]}")
    return json.loads(told), between


def cost(_):
    verdict, charged = diagnose(3, map_bytes)
    return {"rss_bytes": verdict["self"]["rss_bytes"], "map_bytes": charged, "verdict": verdict["verdict"],
            "findings": [finding["id"] for finding in verdict["findings"]],
            "cpus": pathlib.Path("/sys/devices/system/cpu/possible").read_text().strip()}


def tests(step):
    rows = []
    for name in step["names"]:
        status, told, log = call([f"/culprit/{step['binary']}", f"[{name}]"])
        rows.append(outcome(name, status, told + log))
    return rows


def faults(step):
    rows = []
    for name in step["names"]:
        status, told, log = call([sys.executable, "-B", "/culprit/tests/faults/run.py", "--only", name, "--seed", "1",
                                  "--seconds", "8", "--culprit", CULPRIT, "--keep", "/out/verdicts"])
        rows.append(outcome(name, status, told.split("\n\n")[0] + log))
    return rows


def shell(script):
    subprocess.run(["sh", "-ec", script], check=True, timeout=60)


def uploader():
    """A process that sends datagrams to the peer, as fast as the device takes them, up to some thousand per second."""
    code = ("import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "while True:\n for _ in range(20): s.sendto(b'x' * 1400, ('192.0.2.2', 9))\n time.sleep(0.01)\n")
    return subprocess.Popen([sys.executable, "-c", code])


def device(step):
    """Upload through the machine's network card: is its transmit queue called hung, with its name, or is all well?"""
    shell("modprobe -q virtio_pci || true; modprobe virtio_net; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0; "
          "ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent")
    with uploader() as sender:
        verdict, _ = diagnose(step["seconds"], lambda pid: None)
        sender.kill()
    (OUT / "device.json").write_text(json.dumps(verdict, indent=1))
    hung = [finding["where"]["device"] for finding in verdict["findings"] if finding["id"] == "nic-tx-timeout"]
    right = hung == (["eth0"] if step["hangs"] else [])
    told = f"nic-tx-timeout of {hung}, all findings: {[finding['id'] for finding in verdict['findings']]}"
    return [outcome("nic-tx-timeout" if step["hangs"] else "a card that works", 0 if right else 1, told)]


LOAD = """
import socket, threading, time
server = socket.create_server(("127.0.0.1", 9999))
def serve():
    while True:
        peer = server.accept()[0]
        peer.sendall(peer.recv(100) * 100)
        peer.close()
threading.Thread(target=serve, daemon=True).start()
while True:
    with socket.create_connection(("127.0.0.1", 9999)) as client:
        client.sendall(b"x" * 50)
        while client.recv(10000): pass
    time.sleep(0.02)
"""


def hotplug(_):
    """A CPU goes off and on while culprit watches a server and its client."""
    switch = pathlib.Path("/sys/devices/system/cpu/cpu1/online")

    def toggle(_):
        for number in range(20):
            switch.write_text(str(number % 2))
            time.sleep(0.3)
    with subprocess.Popen([sys.executable, "-c", LOAD]) as load:
        verdict, _ = diagnose(12, toggle)
        load.kill()
    (OUT / "hotplug.json").write_text(json.dumps(verdict, indent=1))
    told = json.dumps([verdict["verdict"], verdict["notes"] if "notes" in verdict else [], verdict["findings"]])[:800]
    return [outcome("a CPU off and on", 0 if verdict["verdict"] == "healthy" else 1, told)]


def kernel_log(_):
    """What a kernel says when something went wrong in it."""
    told = call(["dmesg"])[1]
    (OUT / "dmesg.txt").write_text(told)
    return [line for line in told.splitlines() if TROUBLE.search(line)][:20]


STEPS = {"doctor": doctor, "cost": cost, "tests": tests, "faults": faults, "device": device, "hotplug": hotplug,
         "kernel_log": kernel_log}


def main():
    os.environ["CULPRIT_BINARY"] = CULPRIT
    results = {"release": os.uname().release}
    for step in json.loads(pathlib.Path("/plan.json").read_text()):
        began = time.monotonic()
        name = step.get("as", step["step"])
        try:
            results[name] = STEPS[step["step"]](step)
        except Exception as error:  # the other steps have something to tell too
            results[name] = {"error": f"{type(error).__name__}: {error}"}
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
        (OUT / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
