#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which distribution packages are needed to build or to test, and are they installed?
# usage: tools/install_deps.sh [build|test]        (Debian 12 or newer, Ubuntu 24.04 or newer)
set -euo pipefail

build_packages=(
    g++ cmake ninja-build pkg-config clang llvm bpftool ca-certificates
    libbpf-dev libcap-ng-dev libcli11-dev libdw-dev libelf-dev libfmt-dev libmnl-dev libnftables-dev libseccomp-dev
    nlohmann-json3-dev zlib1g-dev
)
test_packages=(
    catch2 clang-format dnsmasq-base git iproute2 kmod libldns-dev nftables procps python3 qemu-system-x86
)
# Where Ubuntu keeps bpftool when it has no package of that name.
ubuntu_bpftool=(linux-tools-common linux-tools-generic)

say() { echo "install_deps: $*"; }
die() { say "$*" >&2; exit 1; }

installed() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || return 1
    done
}

has_candidate() {
    local policy # not piped into grep -q: that ends early, and pipefail makes the writer's SIGPIPE a failure
    policy=$(apt-cache policy "$1" 2>/dev/null)
    grep -q '^ *Candidate: [^(]' <<<"$policy"
}

# Services must not be restarted on the machine that is being looked at, hence NEEDRESTART_MODE=l.
apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

update() {
    local try
    for try in 1 2 3; do
        apt_get -o APT::Update::Error-Mode=any update >"$log" 2>&1 && return
        [ "$try" = 3 ] || sleep $((try * 3))
    done
    # One broken foreign repository makes update fail although ours may be fine: let the install decide.
    say "apt-get update failed three times, going on with the package lists that are here:" >&2
    cat "$log" >&2
}

wanted=${1:-build}
case $wanted in
    build) packages=("${build_packages[@]}") ;;
    test) packages=("${build_packages[@]}" "${test_packages[@]}") ;;
    *) echo "usage: $0 [build|test]" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
    installed "$package" && continue
    [ "$package" = bpftool ] && installed "${ubuntu_bpftool[@]}" && continue
    missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
    say "everything needed to $wanted is installed"
    exit 0
fi

command -v apt-get >/dev/null || die "no apt-get here; install what your system calls: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "root (or sudo) is needed to install: ${missing[*]}"
    as_root=(sudo)
fi

say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
update
chosen=()
for package in "${missing[@]}"; do
    if [ "$package" = bpftool ] && ! has_candidate bpftool; then
        chosen+=("${ubuntu_bpftool[@]}")
    else
        chosen+=("$package")
    fi
done
if ! apt_get install -y --no-install-recommends "${chosen[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    die "apt-get could not install: ${chosen[*]}"
fi
