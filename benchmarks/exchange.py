"""The exchange side of the socket benchmarks: a process of its own that sends prepared frames to a client.

Standard library only, blocking sockets, frames that are WebSocket bytes before the clock starts, large writes: much
faster than any client reads. It answers what a client must have answered (the upgrade, subscribe, unsubscribe, both
kinds of ping, close), to one client, and does what its job says once everything is subscribed:

``stream``
    ``warmup`` updates, a pause, then the rest as fast as the client takes them. ``start_ns`` is the moment of the first
    byte after the pause. When the updates are through, the snapshots come again, and the updates: so any number can be
    sent. With ``piece``, each write has so many bytes of one frame, at most.
``paced``
    Update ``i`` goes out at ``start_ns + due[i]``, whether or not the client keeps up: time in the queue counts. The
    file ``sent`` gets when each was sent. That may be late, as the machine's scheduler had stopped the sender. But if
    the client's buffers were full, the sender waited for the client: then a message counts as sent when it was due.
``resync``
    Again and again: some updates, then one with a wrong checksum; the client's new subscribe gets the snapshot.

Times are ``time.monotonic_ns``, which on Linux is one clock for all processes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 128 * 1024
"""Bytes per write: large enough to cost the sender nothing, small enough to look at the client's pings in between."""
_PAUSE = 0.25
"""Seconds of silence before the measured part, so that everybody has read everything."""
_SPIN = 0.0002
"""Seconds before a paced frame is due from which on the sender does not sleep."""
_CHECKSUM = re.compile(rb'"checksum":\d+')
_STATUS = (
    b'{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
    b'"connection_id":1}]}'
)


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """One whole WebSocket frame, as a server sends it: without a mask."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def symbol_of(line: bytes) -> str:
    return line.split(b'"symbol":"', 1)[1].split(b'"', 1)[0].decode()


class Gone(Exception):  # noqa: N818 (named by what happened)
    """The client has left."""


class Peer:
    """The one client."""

    def __init__(self, sock: socket.socket, snapshots: dict[str, bytes]) -> None:
        self._sock = sock
        self._snapshots = snapshots
        self._buffer = bytearray()
        self.subscribed: set[str] = set()
        self.subscribes = 0

    def upgrade(self) -> None:
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frame(_STATUS)
        )

    def send(self, data: bytes | memoryview) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Gone from error

    def has_room(self) -> bool:
        """Whether the client has read enough for more to be sent at once."""
        return bool(select.select([], [self._sock], [], 0)[1])

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._buffer += data

    def serve(self, seconds: float) -> None:
        """Answer what the client says, for so long; 0: what it has said already."""
        end = time.monotonic() + seconds
        while True:
            while self._take():
                pass
            pending = isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()
            left = max(0.0, end - time.monotonic())
            if not pending and not select.select([self._sock], [], [], left)[0]:
                return
            self._read()

    def _take(self) -> bool:
        data = self._buffer
        if len(data) < 2:
            return False
        size, start = data[1] & 0x7F, 2
        if size == 126:
            if len(data) < 4:
                return False
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            if len(data) < 10:
                return False
            size, start = int.from_bytes(data[2:10], "big"), 10
        end = start + 4 + size
        if len(data) < end:
            return False
        mask = data[start : start + 4]
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[start + 4 : end]))
        opcode = data[0] & 0x0F
        del data[:end]
        if opcode == 8:
            self.send(frame(payload, 8))
            raise Gone
        if opcode == 9:
            self.send(frame(payload, 10))
        elif opcode in (1, 2):
            self._answer(json.loads(payload))
        return True

    def _answer(self, asked: dict[str, Any]) -> None:
        method, params = asked.get("method"), asked.get("params") or {}
        times = {"time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z"}
        number = {} if asked.get("req_id") is None else {"req_id": asked["req_id"]}
        if method == "ping":
            self.send(frame(json.dumps({"method": "pong", **number, **times}).encode()))
            return
        out = []
        for symbol in params.get("symbol", []):
            result = {
                "channel": params["channel"],
                "symbol": symbol,
                "depth": params.get("depth", 10),
                "snapshot": True,
            }
            out.append(json.dumps({"method": method, "result": result, "success": True, **number, **times}).encode())
            if method == "subscribe":
                self.subscribes += 1
                self.subscribed.add(symbol)
                out.append(self._snapshots[symbol])
            else:
                self.subscribed.discard(symbol)
        self.send(b"".join(map(frame, out)))


def stream(peer: Peer, job: dict[str, Any], snapshots: list[bytes], updates: list[bytes]) -> None:
    warmup, total = job["warmup"], job["total"]
    framed = [frame(line) for line in updates]
    again = b"".join(map(frame, snapshots))
    piece = job.get("piece")
    sent = position = 0
    for goal in (warmup, total):
        peer.serve(_PAUSE)
        if sent:
            tell(start_ns=time.monotonic_ns())
        while sent < goal:
            size, first = 0, position
            while position < len(framed) and size < _CHUNK and sent < goal:
                size += len(framed[position])
                position += 1
                sent += 1
            if piece:
                for one in framed[first:position]:
                    for begin in range(0, len(one), piece):
                        peer.send(one[begin : begin + piece])
            else:
                peer.send(b"".join(framed[first:position]))
            if position == len(framed):
                peer.send(again)
                position = 0
            peer.serve(0)


def paced(peer: Peer, job: dict[str, Any], _snapshots: list[bytes], updates: list[bytes]) -> None:
    due = array("q", Path(job["due"]).read_bytes())
    total = len(due)
    framed = [frame(line) for line in updates[:total]]
    stamps = array("q")
    peer.serve(_PAUSE)
    start = time.monotonic_ns() + 10_000_000
    tell(start_ns=start)
    sent = 0
    while sent < total:
        left = (due[sent] + start - time.monotonic_ns()) / 1e9
        if left > 0:
            if left > _SPIN:
                peer.serve(left - _SPIN)
            continue
        has_room = peer.has_room()
        now = time.monotonic_ns() - start
        end = sent + 1
        while end < total and due[end] <= now:
            end += 1
        peer.send(framed[sent] if end == sent + 1 else b"".join(framed[sent:end]))
        stamps.extend([now] * (end - sent) if has_room else due[sent:end])
        sent = end
    Path(job["sent"]).write_bytes(stamps.tobytes())
    tell(is_sent=True)


def resync(peer: Peer, job: dict[str, Any], _snapshots: list[bytes], updates: list[bytes]) -> None:
    wrong = frame(_CHECKSUM.sub(b'"checksum":1', updates[job["before"]], count=1))
    good = b"".join(map(frame, updates[: job["before"]]))
    for _ in range(job["total"]):
        peer.serve(0.02)
        before = peer.subscribes
        peer.send(good)
        peer.serve(0.02)
        tell(wrong_ns=time.monotonic_ns())
        peer.send(wrong)
        while peer.subscribes == before:
            peer.serve(0.001)


def main() -> None:
    job = json.loads(sys.argv[1])
    if job.get("cpu") is not None:
        os.sched_setaffinity(0, {job["cpu"]})
    lines = Path(job["frames"]).read_bytes().splitlines()
    count = sum(line.startswith(b'{"channel":"book","type":"snapshot"') for line in lines)
    snapshots, updates = lines[:count], lines[count:]
    by_symbol = {symbol_of(line): line for line in snapshots}

    listener = socket.create_server(("127.0.0.1", 0))
    tell(port=listener.getsockname()[1])
    listener.settimeout(60)
    sock: socket.socket = listener.accept()[0]
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if job.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(job["certificate"])
        try:
            sock = context.wrap_socket(sock, server_side=True)
        except OSError:
            return  # the client says why
    peer = Peer(sock, by_symbol)
    try:
        peer.upgrade()
        while len(peer.subscribed) < len(by_symbol):
            peer.serve(0.05)
        {"stream": stream, "paced": paced, "resync": resync}[job["mode"]](peer, job, snapshots, updates)
        peer.serve(600)
    except Gone:
        pass


main()
