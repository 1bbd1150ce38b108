"""A UDP socket whose datagrams arrive in the executor's thread, in order."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable

from eo_nodes.contracts.errors import ConfigError

_BUFFER_BYTES = 8 << 20
_LARGEST = 65_535


class DatagramSocket:
    """Receive on one port, send to another.

    Args:
        bind: (host, port) to listen on.
        peer: (host, port) to send to.
        wake: called from the reader thread when datagrams wait; must be thread-safe.
    Raises:
        ConfigError: the address cannot be bound.
    """

    def __init__(
        self, bind: tuple[str, int], peer: tuple[str, int], wake: Callable[[], None]
    ) -> None:
        self._peer = peer
        self._wake = wake
        self._waiting: deque[bytes] = deque()
        self._is_signalled = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, name, _BUFFER_BYTES)
        with contextlib.suppress(OSError):  # beyond rmem_max where we may
            self._socket.setsockopt(socket.SOL_SOCKET, 33, _BUFFER_BYTES)  # SO_RCVBUFFORCE
        try:
            self._socket.bind(bind)
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"cannot listen on {bind[0]}:{bind[1]}: {error}") from error
        self._is_open = True
        self._thread = threading.Thread(target=self._read, name="datagrams", daemon=True)
        self._thread.start()

    def send(self, datagram: bytes) -> bool:
        """Send one datagram; False when the machine has no room for it."""
        try:
            self._socket.sendto(datagram, self._peer)
        except OSError:
            return False
        return True

    def take(self) -> list[bytes]:
        """Return what has arrived since the last call, in order."""
        # Cleared before draining: a datagram that comes now wakes us once more, none is left over.
        self._is_signalled = False
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def close(self) -> None:
        """Stop the reader and give the port back."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=1.0)
        self._socket.close()

    def _read(self) -> None:
        while self._is_open:
            try:
                datagram = self._socket.recv(_LARGEST)
            except OSError:
                if not self._is_open:
                    return
                continue  # e.g. ICMP port unreachable: the peer is not up yet
            if datagram and self._is_open:
                self._waiting.append(datagram)
                if not self._is_signalled:
                    self._is_signalled = True
                    self._wake()
