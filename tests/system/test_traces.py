"""A Craton told where traces go sends them there, in OpenTelemetry's own form."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from craton.cli.connection import Connection
from craton.cli.installation import read_installation

ECHO = "craton.echo-1"
FAR = "far.echo"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


class Collector(BaseHTTPRequestHandler):
    """Takes spans, and remembers them on its server."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    server.spans = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
    """What the collector got of one Craton, of which one model is its own echo, asked over HTTP."""
    data = tmp_path_factory.mktemp("traced")
    with collecting() as collector:
        address = f"http://127.0.0.1:{collector.server_port}"
        command = [
            *(sys.executable, "-c", "from craton.cli.main import run; run()", "up", "--json"),
            *("--engine", "echo", "--port", "0", "--data", str(data)),
            *("--otlp-endpoint", address),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as up:
            assert up.stdout is not None
            url = msgspec.json.decode(up.stdout.readline())["url"]
            try:
                ask(url, read_installation(data).key().api_key, data / "key")
            finally:
                up.terminate()
            assert up.wait(timeout=30) == 0
        return collector.spans  # type: ignore[attr-defined]


def ask(url: str, key: str, credential: Path) -> None:
    add_itself(url, key, credential)
    within = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with openai.OpenAI(base_url=url + "/v1", api_key=key) as client:
        for model, headers in ((ECHO, {}), (FAR, within)):
            client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "one two three"}],
                extra_headers=headers,
            )


def add_itself(url: str, key: str, credential: Path) -> None:
    """A model whose engine is the same Craton's echo."""
    credential.write_text(key)
    source = {
        "type": "remote",
        "origin": url,
        "path": "/v1",
        "model": ECHO,
        "credential_file": str(credential),
        "wire": "openai",
    }
    new = {
        "id": FAR,
        "name": "Far echo",
        "source": source,
        "context_tokens": 8192,
        "output_tokens_default": 512,
    }
    with Connection(url, key).open("POST", "/craton/v1/models", json.dumps(new).encode()) as done:
        assert json.loads(done.read())["engine"] == "remote"


def test_a_request_is_traced_to_the_collector(spans: list[Span]) -> None:
    found = [
        {a.key: a.value for a in span.attributes} for span in spans if span.name == f"chat {ECHO}"
    ]
    tokens = [each["gen_ai.usage.output_tokens"].int_value for each in found]
    assert 3 in tokens


def test_one_trace_goes_from_the_caller_through_to_the_server_behind_a_remote_model(
    spans: list[Span],
) -> None:
    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    joined = {span.parent_span_id.hex(): span for span in ours}
    path: list[tuple[str, int]] = []
    parent = CALLER
    while parent in joined:
        span = joined[parent]
        path.append((span.name, span.kind))
        parent = span.span_id.hex()
    assert path == [
        ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER),
        (f"chat {FAR}", Span.SPAN_KIND_CLIENT),
        ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER),
        (f"chat {ECHO}", Span.SPAN_KIND_INTERNAL),
    ]
    assert len(ours) == len(path)
