"""Answers: read as strictly as HTTP allows, and judged as the protocol of their path would."""

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import msgspec
from botocore.eventstream import EventStreamBuffer

from tests.conformance.judging import row_of
from tests.conformance.recording import Record
from tests.fuzz.invoke_templates import PLAIN_TEXTS
from tests.fuzz.request import Expected, Sent
from tests.fuzz.templates import PROMPT

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*\r\n")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)\r\n")
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
BODY_BYTES_MAX = 64 * 1024 * 1024
JUDGED_BYTES_MAX = 256 * 1024
"""Up to which length an answer is held to its model: what is longer only has more of the same."""

GOOD = frozenset({200, 201})
REFUSALS = frozenset(
    {400, 401, 402, 403, 404, 405, 408, 409, 412, 413, 417, 424, 429, 431, 501, 503, 505}
)
"""Every refusal that some input may earn; 500 and 502 are not among them."""
INSIDE = (b"Traceback (most recent", b'File "', b"site-packages", b".py\\", b"<module>")
"""What an answer that tells of our inside would hold."""
GREETED = frozenset({"/", "/anthropic", "/anthropic/"})
"""Where a client of Anthropic's API may ask whether anybody is there."""
OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/craton/v1/openapi.json", "/craton/v1/docs"})


class Cut(Exception):
    """The connection ended before the answer did."""


class Malformed(Exception):
    """The answer is no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer; header names are lower-case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server says that it closes the connection."""
        return self.headers.get(b"connection", b"").lower() == b"close"


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool = False) -> Answer | None:
    """The next answer, past any interim one; None if the connection ended before it began."""
    while True:
        line = await _line(reader)
        if not line:
            return None
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            raise Malformed(f"status line {line[:100]!r}")
        status = int(match[1])
        headers = await _headers(reader)
        if status >= 200:
            break
        if status != 100:
            raise Malformed(f"interim status {status}")
    if is_head or status in (204, 304):
        return Answer(status, headers, b"")
    return Answer(status, headers, await _body(reader, headers))


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Cut from None
        return b""


async def _headers(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    while (line := await _line(reader)) != b"\r\n":
        if not line:
            raise Cut
        match = HEADER_LINE.fullmatch(line)
        if match is None:
            raise Malformed(f"header line {line[:100]!r}")
        name = match[1].lower()
        if name in headers:
            raise Malformed(f"the header {name!r} comes twice")
        headers[name] = match[2]
    return headers


async def _body(reader: asyncio.StreamReader, headers: dict[bytes, bytes]) -> bytes:
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if (length is None) == (coding is None):
        # HTTP/1.0 clients get a body that ends with the connection.
        if length is None and headers.get(b"connection") == b"close":
            return await reader.read(BODY_BYTES_MAX)
        raise Malformed("neither or both of content-length and transfer-encoding")
    try:
        if length is not None:
            return await reader.readexactly(int(length))
        return await _chunks(reader)
    except asyncio.IncompleteReadError:
        raise Cut from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\n")
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            raise Malformed(f"chunk line {line[:100]!r}")
        size = int(match[1], 16)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Malformed("a chunk without its end")
        if size == 0:
            return bytes(body)


# --- the protocols ------------------------------------------------------------------------------


def _texts(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and value[name] for name in names
    )


def _is_openai(answer: Answer, document: Any) -> bool:
    error = document.get("error")
    return (
        b"x-request-id" in answer.headers
        and _texts(error, "message", "type")
        and {"param", "code"} <= error.keys()
    )


def _is_anthropic(answer: Answer, document: Any) -> bool:
    return (
        b"request-id" in answer.headers
        and document.get("type") == "error"
        and _texts(document, "request_id")
        and _texts(document.get("error"), "message", "type")
    )


def _is_native(answer: Answer, document: Any) -> bool:
    return b"x-craton-request-id" in answer.headers and _texts(
        document.get("error"), "type", "message", "request_id"
    )


def _is_aws(answer: Answer, document: Any) -> bool:
    named = b"x-amzn-errortype" in answer.headers or _texts(document, "__type")
    return b"x-amzn-requestid" in answer.headers and named and _texts(document, "message")


_JSON_ERRORS = {
    "openai": _is_openai,
    "anthropic": _is_anthropic,
    "native": _is_native,
    "aws": _is_aws,
}


def protocol_of(sent: Sent) -> str | None:
    """Whose words an error on this path is told in; None where HTTP itself can't read the path."""
    path = sent.path
    if not path.isascii():
        return None
    if sent.method == "POST" and path in ("/v1/chat/completions", "/v1/embeddings"):
        return "openai"
    if path.startswith("/craton/") or path == "/craton":
        return "native"
    if sent.method == "GET" and path in OPEN:
        return "native"
    if path.startswith("/openai/"):
        return "openai"
    if path.startswith("/anthropic/") or path == "/v1/messages" or path[:13] == "/v1/messages/":
        return "anthropic"
    if path.startswith("/v1/"):
        return "anthropic" if sent.is_anthropic else "openai"
    return "aws"


def is_error_of(answer: Answer, protocol: str | None) -> bool:
    """Whether an error is told in a protocol's words; None stands for any of them."""
    if answer.headers.get(b"content-type", b"").partition(b";")[0] == b"text/xml":
        return protocol in ("aws", None) and _is_query_error(answer.body)
    try:
        document = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not isinstance(document, dict):
        return False
    names = _JSON_ERRORS if protocol is None else [protocol]
    return any(_JSON_ERRORS[name](answer, document) for name in names)


def _is_query_error(body: bytes) -> bool:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return False
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    return {"Code", "Message"} <= names


# --- verdicts -----------------------------------------------------------------------------------


def faults_of(answer: Answer, sent: Sent | None) -> list[str]:
    """What is wrong with an answer; `sent` is None where HTTP itself may not have understood it."""
    faults: list[str] = []
    status = answer.status
    if status not in GOOD and status not in REFUSALS:
        faults.append(f"status {status}")
    faults += [f"the body holds {text!r}" for text in INSIDE if text in answer.body]
    is_head = sent is not None and sent.method == "HEAD"
    if status >= 400 and not is_head:
        protocol = None if sent is None else protocol_of(sent)
        if not is_error_of(answer, protocol):
            faults.append(f"status {status}: not an error of {protocol or 'any protocol'}")
    elif not is_head:
        faults += _faults_of_success(answer)
    if sent is not None:
        faults += _unexpected(answer, sent)
    is_small = len(answer.body) <= JUDGED_BYTES_MAX
    if sent is not None and not faults and is_small and protocol_of(sent) is not None:
        faults += _unlike_its_model(answer, sent)
    return faults


def _unlike_its_model(answer: Answer, sent: Sent) -> list[str]:
    """What of a well-formed answer breaks its service model, or the types of its SDK."""
    headers = [(b"anthropic-version", b"")] if sent.is_anthropic else []
    record = Record(
        sent.method,
        sent.path.encode("latin-1"),
        b"",
        headers,
        b"",  # what the path `/` was asked for stands elsewhere, and isn't judged here
        answer.status,
        list(answer.headers.items()),
        answer.body,
        b"stream" in answer.headers.get(b"content-type", b""),
    )
    found = row_of(record)
    return [] if found is None else found[1]


def _unexpected(answer: Answer, sent: Sent) -> list[str]:
    is_good = answer.status < 300
    if sent.expected is Expected.GOOD:
        if not is_good:
            return [f"a valid request was refused with {answer.status}"]
        if sent.method == "POST" and sent.body and sent.wire in TALKING:
            return [] if PROMPT.encode() in answer.body else ["the answer isn't the echo"]
        if sent.wire in COUNTING and b"okens" not in answer.body:
            return ["the answer counts nothing"]
    if sent.expected is Expected.REFUSED and is_good:
        is_open = sent.method in ("GET", "HEAD") and sent.path in OPEN
        is_open = is_open or (sent.method == "HEAD" and sent.path in GREETED)
        return [] if is_open else [f"a bad credential was answered with {answer.status}"]
    return []


TALKING = frozenset(
    {"openai chat", "openai responses", "anthropic messages", "converse"}
    | {f"invoke {name}" for name in PLAIN_TEXTS}
)
COUNTING = frozenset({"anthropic count", "count tokens", "openai response tokens"})
ENDS = frozenset({"message_stop", "error", "response.completed", "response.incomplete"})
FAILED = "response.failed"


def _faults_of_success(answer: Answer) -> list[str]:
    kind = answer.headers.get(b"content-type", b"").partition(b";")[0]
    if kind == b"application/json":
        try:
            msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return [f"a success whose body is no JSON: {error}"]
        return []
    if kind == b"text/event-stream":
        return _faults_of_events(answer.body)
    if kind == b"application/vnd.amazon.eventstream":
        return _faults_of_frames(answer.body)
    if kind == b"text/xml":
        ElementTree.fromstring(answer.body)
        return []
    return [] if kind in (b"text/plain", b"text/html") else [f"a success of the type {kind!r}"]


def _faults_of_events(body: bytes) -> list[str]:
    """Server-sent events must be JSON each, and end with the terminal one or an error."""
    if not body.endswith(b"\n\n"):
        return ["the last event isn't whole"]
    last: Any = None
    for event in body[:-2].split(b"\n\n"):
        (data,) = [line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")]
        last = "[DONE]" if data == b"[DONE]" else msgspec.json.decode(data)
    if last == "[DONE]" or last.get("type") in {*ENDS, FAILED} or "error" in last:
        return []
    return ["the stream ended without its terminal event"]


def _faults_of_frames(body: bytes) -> list[str]:
    """botocore checks lengths and both checksums of each frame."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    frames = list(buffer)
    size = sum(frame.prelude.total_length for frame in frames)
    if size != len(body) or not frames:
        return [f"{len(body) - size} bytes after the last whole frame"]
    headers = frames[-1].headers
    is_end = headers.get(":event-type") == "metadata" or headers.get(":message-type") == "exception"
    if headers.get(":event-type") == "chunk":
        part = base64.b64decode(msgspec.json.decode(frames[-1].payload)["bytes"])
        is_end = "amazon-bedrock-invocationMetrics" in msgspec.json.decode(part)
    return [] if is_end else [f"the last frame is {headers}"]
