"""A server on loopback that records when the kernel received each request.

A server that looks at the clock itself notes when it got round to it, which on a loaded machine is
many milliseconds later for one request and none for the next.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager, suppress

SO_TIMESTAMPNS = 35  # socket(7); not in Python's module


class Stamped:
    def __init__(self, latency):
        self.times = []
        self.paths = []
        self.busy, self.most_busy = 0, 0  # requests whose answer is not sent yet
        self._latency = latency
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"

    def accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _count(self, change):
        with self._lock:
            self.busy += change
            self.most_busy = max(self.most_busy, self.busy)

    def _serve(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with suppress(ConnectionError), connection:
            while True:
                request, ancillary, _, _ = connection.recvmsg(65536, 100)
                if not request:
                    break
                [(_, _, stamp)] = ancillary
                seconds, nanoseconds = struct.unpack("qq", stamp)
                self.times.append(seconds + nanoseconds / 1e9)
                self.paths.append(request.split()[1].decode())
                self._count(1)
                time.sleep(self._latency)
                self._count(-1)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwords")


@contextmanager
def stamped_server(latency=0.05):
    server = Stamped(latency)
    thread = threading.Thread(target=server.accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def most_within(times, seconds):
    """Return the largest number of times that lie within so many seconds."""
    times = sorted(times)
    return max(bisect_left(times, t + seconds) - i for i, t in enumerate(times))
