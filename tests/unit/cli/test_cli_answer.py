import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from craton.cli.answer import Answer, Turn, ask, default_model
from craton.cli.connection import Connection
from craton.economics.contract import UsageLine, UsagePage
from craton.kernel.clock import ManualClock
from craton.kernel.errors import (
    AccessDenied,
    EngineFailed,
    EngineNotReady,
    NotFound,
    Unauthenticated,
    Unavailable,
)

RECORD = UsageLine(
    request_id="r-1",
    at_ms=1,
    account="1",
    project="p",
    principal="k",
    resource="lab.model",
    replica="echo/lab.model/0",
    outcome="complete",
    quantities={},
    amount_nanos=250,
    currency="USD",
    amount="0.00000025",
)
HELLO = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\n\n'
LO = b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"

Replies = dict[str, tuple[int, bytes]]
Serve = Callable[[Replies], Connection]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that answers each path as told, and remembers what it was sent."""
    servers: list[ThreadingHTTPServer] = []

    def start(replies: Replies) -> Connection:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = replies[self.path]
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-request-id", "r-1")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return Connection(f"http://127.0.0.1:{server.server_address[1]}", "sk", timeout_s=5)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def one(connection: Connection) -> tuple[Answer, list[str]]:
    pieces: list[str] = []
    answer = ask(
        connection,
        [Turn("user", "Hi")],
        model="m",
        max_tokens=None,
        write=pieces.append,
        clock=ManualClock(),
    )
    return answer, pieces


def test_an_answer_comes_in_pieces_and_its_cost_from_the_ledger(serve: Serve) -> None:
    connection = serve(
        {
            "/v1/chat/completions": (200, HELLO + LO + USAGE + DONE),
            "/craton/v1/usage/r-1": (200, msgspec.json.encode(RECORD)),
        }
    )
    answer, pieces = one(connection)
    assert pieces == ["Hel", "lo"]
    assert (answer.answer, answer.input_tokens, answer.output_tokens) == ("Hello", 4, 2)
    assert (answer.cost_nanos, answer.model, answer.finish_reason) == (250, "lab.model", "stop")
    assert "0.00000025 USD" in answer.line()


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (HELLO + LO + USAGE, "broke off"),
        (HELLO + b'data: {"error":{"message":"the engine died"}}\n\n', "the engine died"),
        (HELLO + LO + DONE, "usage"),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(serve: Serve, frames: bytes, says: str) -> None:
    with pytest.raises(EngineFailed, match=says):
        one(serve({"/v1/chat/completions": (200, frames)}))


def test_a_refusal_is_told_in_the_servers_words(serve: Serve) -> None:
    body = b'{"error":{"message":"there is no model m","type":"invalid_request_error"}}'
    with pytest.raises(NotFound, match="there is no model m"):
        one(serve({"/v1/chat/completions": (404, body)}))
    with pytest.raises(Unauthenticated, match="HTTP status 401"):
        one(serve({"/v1/chat/completions": (401, b"<html>")}))


def test_not_ready_says_why(serve: Serve) -> None:
    body = b'{"error":{"type":"engine_not_ready","message":"it is loading"}}'
    with pytest.raises(EngineNotReady, match="it is loading"):
        default_model(serve({"/readyz": (503, body)}))


def test_where_no_model_answers_one_must_be_named(serve: Serve) -> None:
    body = b'{"status":"ready","model":null,"missing":{"lab.small":"there is no network"}}'
    with pytest.raises(NotFound, match="there is no network"):
        default_model(serve({"/readyz": (200, body)}))


def test_a_native_refusal_comes_back_as_the_error_it_was(serve: Serve) -> None:
    body = b'{"error":{"type":"access_denied","message":"not yours","request_id":"r"}}'
    with pytest.raises(AccessDenied, match="not yours"):
        serve({"/craton/v1/usage?account=x": (403, body)}).get(
            "/usage", UsagePage, {"account": "x", "before": None}
        )


def test_what_answers_there_may_be_no_craton(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="no Craton"):
        serve({"/craton/v1/usage": (404, b"<html>not here</html>")}).get("/usage", UsagePage)


def test_nobody_there_is_told_with_what_to_do() -> None:
    with pytest.raises(Unavailable, match="craton up"):
        Connection("http://127.0.0.1:1", "sk", timeout_s=1).get("/usage", UsagePage)
