#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What does a verdict look like? Two namespaces, a firewall rule that drops 5 % of the packets between them, traffic across
# it, and `culprit diagnose` beside it. Nothing outside the two namespaces is touched.
# usage: tools/demo.sh [path of culprit]        (needs root, ip, nft, python3)
set -euo pipefail
culprit=${1:-$(dirname "$0")/../build/release/userspace/culprit}
a=demo-app-$$ b=demo-db-$$
cleanup() {
    [ -z "${traffic:-}" ] || kill "$traffic" 2>/dev/null || true
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
}
trap cleanup EXIT
for ns in "$a" "$b"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
done
ip -n "$a" link add eth0 type veth peer name eth0 netns "$b"
ip -n "$a" addr add 192.0.2.1/24 dev eth0
ip -n "$b" addr add 192.0.2.2/24 dev eth0
for ns in "$a" "$b"; do ip -n "$ns" link set eth0 up; done
ip netns exec "$b" nft -f - <<'NFT'
table inet demo {
    chain input {
        type filter hook input priority 0
        tcp dport 5432 numgen random mod 100 < 5 drop
    }
}
NFT
# both ends in one process, each socket made inside its namespace; ends by itself after 30 s
python3 - "/run/netns/$a" "/run/netns/$b" <<'PY' &
import ctypes, os, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def enter(path):
    with open(path) as f:
        if libc.setns(f.fileno(), 0x40000000):
            sys.exit("cannot enter " + path)
if os.fork() == 0:
    enter(sys.argv[2])
    libc.prctl(15, b"database", 0, 0, 0)
    listener = socket.create_server(("192.0.2.2", 5432), backlog=16)
    listener.settimeout(30)
    def drain(conn):
        while conn.recv(65536):
            pass
    try:
        while True:
            threading.Thread(target=drain, args=(listener.accept()[0],), daemon=True).start()
    except OSError:
        os._exit(0)
enter(sys.argv[1])
libc.prctl(15, b"app-server", 0, 0, 0)
end = time.time() + 30
time.sleep(0.3)
while time.time() < end:
    with socket.create_connection(("192.0.2.2", 5432), timeout=5) as conn:
        for _ in range(50):
            conn.sendall(b"x" * 8000)
            time.sleep(0.01)
PY
traffic=$!
sleep 1
rc=0
"$culprit" diagnose --for 5s || rc=$?
exit $rc
