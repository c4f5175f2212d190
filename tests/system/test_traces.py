"""A Craton told where traces go sends them there, in OpenTelemetry's own form."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import openai
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from craton.cli.installation import read_installation

ECHO = "craton.echo-1"


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


def test_a_request_is_traced_to_the_collector(tmp_path: Path) -> None:
    with collecting() as collector:
        address = f"http://127.0.0.1:{collector.server_port}"
        command = [
            *(sys.executable, "-c", "from craton.cli.main import run; run()", "up", "--json"),
            *("--engine", "echo", "--port", "0", "--data", str(tmp_path)),
            *("--otlp-endpoint", address),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as up:
            assert up.stdout is not None
            started = msgspec.json.decode(up.stdout.readline())
            key = read_installation(tmp_path).key().api_key
            with openai.OpenAI(base_url=started["url"] + "/v1", api_key=key) as client:
                client.chat.completions.create(
                    model=ECHO, messages=[{"role": "user", "content": "one two three"}]
                )
            up.terminate()
            assert up.wait(timeout=30) == 0
        spans = collector.spans  # type: ignore[attr-defined]
    found = [
        {a.key: a.value for a in span.attributes} for span in spans if span.name == f"chat {ECHO}"
    ]
    tokens = [each["gen_ai.usage.output_tokens"].int_value for each in found]
    assert 3 in tokens
