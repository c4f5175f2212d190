"""A small WebSocket client over a blocking socket, made without the code that it tests."""

import base64
import json
import os
import socket
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

Json = dict[str, Any]
TERMINAL = ("response.completed", "response.incomplete", "response.failed", "error")


class ClosedError(Exception):
    """The server ended the connection, with this code; 1006 is without a word."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


class RefusedError(Exception):
    """The server did not change to a WebSocket."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body


class WebSocketClient:
    """One connection: JSON objects out, JSON objects in."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = 30,
    ) -> None:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connected = socket.create_connection((parts.hostname or "", port), timeout=timeout_s)
        if parts.scheme == "https":
            context = context or ssl.create_default_context()
            connected = context.wrap_socket(connected, server_hostname=parts.hostname)
        self._socket = connected
        self._file = connected.makefile("rb")
        lines = {
            "host": parts.netloc,
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connected.sendall(f"GET {parts.path} HTTP/1.1\r\n{head}\r\n".encode())
        self._read_head()

    def _read_head(self) -> None:
        status = int(self._file.readline().split()[1])
        size = 0
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            size = int(value) if name == "content-length" else size
        if status != 101:
            body = self._file.read(size).decode()
            self.close()
            raise RefusedError(status, body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, as a program that ends does."""
        self._file.close()
        self._socket.close()

    def send(self, message: Json) -> None:
        """Send one text message."""
        self._send(0x1, json.dumps(message).encode())

    def _send(self, opcode: int, payload: bytes) -> None:
        size, key = len(payload), os.urandom(4)
        length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
        if 126 <= size < 65536:
            length = b"\xfe" + size.to_bytes(2, "big")
        mixed = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode]) + length + key + mixed)

    def receive(self) -> Json:
        """The next event; ClosedError where there is none any more."""
        while True:
            opcode, payload = self._read_frame()
            match opcode:
                case 0x1:
                    event: Json = json.loads(payload)
                    return event
                case 0x9:
                    self._send(0xA, payload)
                case 0x8:
                    raise ClosedError(int.from_bytes(payload[:2], "big"), payload[2:].decode())
                case _:
                    raise AssertionError(f"the server sent a frame with opcode {opcode:#x}")

    def _read_frame(self) -> tuple[int, bytes]:
        try:
            head = self._file.read(2)
        except ConnectionError:
            head = b""
        if len(head) < 2:
            raise ClosedError(1006)
        assert head[0] & 0xF0 == 0x80, "a server sends whole frames, and agreed to no extension"
        size = head[1]
        if size >= 126:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return head[0] & 0xF, self._file.read(size)

    def create(self, **members: Any) -> list[Json]:
        """Ask for a response; all of its events, the one that ends it last."""
        self.send({"type": "response.create", **members})
        return self.answer()

    def answer(self) -> list[Json]:
        """All events up to the next one that ends an answer."""
        events = [self.receive()]
        while events[-1]["type"] not in TERMINAL:
            events.append(self.receive())
        return events
