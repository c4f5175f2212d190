"""A server of OpenAI's chat completions that always says the same: what Craton asks in this trial.

With tools it calls the first one, unless the conversation already has an output of one.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]
TEXT = ("Hello ", "there ", "friend")
USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
ARGUMENTS = '{"location":"San Francisco, CA"}'


class Upstream:
    """The server, on a port of its own."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked: Json = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_calling = bool(asked.get("tools")) and asked["messages"][-1]["role"] != "tool"
        if asked.get("stream"):
            chunks = _calling_chunks(asked) if is_calling else _saying_chunks()
            frames = [
                f"data: {json.dumps({**_head('chat.completion.chunk'), **c})}\n\n" for c in chunks
            ]
            self._answer("text/event-stream", "".join([*frames, "data: [DONE]\n\n"]))
            return
        message: Json = {"role": "assistant", "content": "".join(TEXT)}
        if is_calling:
            message = {"role": "assistant", "content": None, "tool_calls": [_call(asked)]}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "tool_calls" if is_calling else "stop",
        }
        body = {**_head("chat.completion"), "choices": [choice], "usage": USAGE}
        self._answer("application/json", json.dumps(body))

    def _answer(self, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def _head(kind: str) -> Json:
    return {"id": "far-1", "object": kind, "created": 1, "model": "scripted"}


def _call(asked: Json) -> Json:
    name = asked["tools"][0]["function"]["name"]
    return {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": ARGUMENTS},
    }


def _chunk(delta: Json, finish_reason: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def _saying_chunks() -> list[Json]:
    said = [_chunk({"role": "assistant", "content": piece}) for piece in TEXT]
    return [*said, _chunk({}, "stop"), {"choices": [], "usage": USAGE}]


def _calling_chunks(asked: Json) -> list[Json]:
    call = _call(asked)
    begun = {**call, "function": {**call["function"], "arguments": ""}}
    pieces = [ARGUMENTS[:12], ARGUMENTS[12:]]
    more = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    return [
        _chunk({"role": "assistant", "tool_calls": [begun]}),
        *(_chunk({"tool_calls": [part]}) for part in more),
        _chunk({}, "tool_calls"),
        {"choices": [], "usage": USAGE},
    ]
