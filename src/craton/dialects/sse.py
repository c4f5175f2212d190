"""Server-sent events: the frames in which OpenAI and Anthropic stream.

The parser follows the event stream format of the HTML standard
(https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end with LF, CRLF or CR,
comments start with a colon, several `data` lines are joined by LF, a byte order mark is skipped.
Bytes may be cut anywhere: nothing is decoded before a line is whole.
"""

from craton.kernel.errors import EngineFailed

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of one event; a generated picture is the largest thing an upstream sends."""

Frame = tuple[bytes, bytes]
"""An event's name (empty where it has none) and its data."""


class FrameParser:
    """Cuts a stream of bytes into events, in whatever pieces it comes."""

    __slots__ = (
        "_after_return",
        "_begun",
        "_bytes_max",
        "_data",
        "_name",
        "_partial",
        "_size",
        "_waiting",
    )

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = event_bytes_max
        self._partial: list[bytes] = []  # pieces of a line whose end has not come
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._name = b""
        self._size = 0  # bytes of those data lines
        self._waiting = 0  # bytes of those pieces
        self._begun = False
        self._after_return = False

    def feed(self, data: bytes) -> list[Frame]:
        """The events completed by these bytes; EngineFailed if one is over the limit."""
        if (
            data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and data.count(b"\n") == 2
            and b"\r" not in data
            and self._begun
            and not (self._partial or self._data or self._name or self._after_return)
        ):
            # One whole event of one line, as most reads from a socket are.
            return [(b"", data[6:-2])]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[Frame]:
        if self._after_return and data:
            self._after_return = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            # A CR that ends this piece may have its LF in the next one.
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        last = lines.pop()
        if not lines:
            if last:
                self._partial.append(last)
                self._waiting += len(last)
                self._check_size()
            return []
        if self._partial:
            self._partial.append(lines[0])
            lines[0] = b"".join(self._partial)
            self._partial = []
            self._waiting = 0
        if last:
            self._partial.append(last)
            self._waiting = len(last)
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        frames: list[Frame] = []
        for line in lines:
            if not line:
                if self._data:
                    held = self._data
                    frames.append((self._name, held[0] if len(held) == 1 else b"\n".join(held)))
                    self._data = []
                self._name = b""
                self._size = 0
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._size += len(line)
            elif line.startswith(b"event:"):
                self._name = line[7:] if line[6:7] == b" " else line[6:]
            elif line == b"data":
                self._data.append(b"")
        if self._size or self._waiting:
            self._check_size()
        return frames

    def _check_size(self) -> None:
        if self._size + self._waiting > self._bytes_max:
            raise EngineFailed(
                f"The upstream sent a stream event of more than {self._bytes_max} bytes."
            )
