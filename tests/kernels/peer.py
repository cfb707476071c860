# SPDX-License-Identifier: MIT
"""The other end of a guest's network card: reads what comes, or takes the connection and never reads.

QEMU writes each packet of the card into a TCP connection (-netdev socket). When that takes no more, the card takes no more, as
one whose link hangs."""
import socket
import threading


class Peer:
    """`kind` is "reads", "stuck", or None for a guest without a card."""

    def __init__(self, kind):
        self.kind = kind
        self.server = None

    def __enter__(self):
        if self.kind:
            self.server = socket.socket()
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.server.bind(("127.0.0.1", 0))
            self.server.listen(1)
            threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self):
        try:
            self.card = self.server.accept()[0]
            while self.kind == "reads" and self.card.recv(65536):
                pass
        except OSError:  # the guest is gone
            pass

    def __exit__(self, *_):
        if self.server:
            self.server.close()

    def devices(self):
        if not self.kind:
            return []
        port = self.server.getsockname()[1]
        return ["-netdev", f"socket,id=wire,connect=127.0.0.1:{port}", "-device", "virtio-net-pci,netdev=wire,romfile="]
