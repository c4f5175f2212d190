"""The Open Responses compliance cases against a Craton in front of a scripted server.

    python -m tests.open_responses
    python -m tests.open_responses --base-url URL --api-key KEY --model NAME    # another server

Prints a line for each case, and fails unless each is as it should be: passed, or refused by name.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from craton.cli.connection import Connection
from tests.fakes.craton import Craton
from tests.open_responses.cases import CASES, NOT_BUILT, FailedError, NotBuiltError, Server
from tests.open_responses.upstream import Upstream

MODEL = "open-responses.scripted"


def run(server: Server) -> int:
    """Run every case; how many were not as they should be."""
    wrong = passed = refused = 0
    for id, case in CASES.items():
        try:
            case(server)
        except NotBuiltError:
            is_known = id in NOT_BUILT
            refused += is_known
            wrong += not is_known
            print(f"- {id}: refused by name, not built ({NOT_BUILT.get(id, 'unexpected!')})")
        except FailedError as error:
            wrong += 1
            print(f"✗ {id}: {error}")
        else:
            passed += 1
            wrong += id in NOT_BUILT
            print(f"✓ {id}" + (" (and is listed as not built!)" if id in NOT_BUILT else ""))
    print(f"{passed} passed, {refused} refused as not built, {wrong} wrong, of {len(CASES)}")
    return wrong


def add_model(craton: Craton, origin: str) -> Server:
    """Let a Craton serve the scripted model."""
    source = {"type": "remote", "origin": origin, "path": "/v1", "model": "scripted"}
    body = {"id": MODEL, "name": "Scripted", "source": source}
    operator = Connection(craton.url, craton.keys.api_key, timeout_s=30)
    operator.post("/models", dict, {**body, "context_tokens": 8192, "output_tokens_default": 512})
    return Server(craton.url + "/v1", craton.keys.api_key, MODEL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.open_responses")
    parser.add_argument("--base-url", help="another server's, such as http://127.0.0.1:8400/v1")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--model", default=MODEL)
    asked = parser.parse_args()
    if asked.base_url:
        return run(Server(asked.base_url.rstrip("/"), asked.api_key, asked.model))
    with tempfile.TemporaryDirectory() as folder, Upstream() as upstream:
        craton = Craton(Path(folder) / "data", engine="echo")
        try:
            return run(add_model(craton, upstream.origin))
        finally:
            craton.close()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
