"""The cases of Open Responses as part of the ordinary tests, and that each check can fail."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.craton import Craton
from tests.open_responses.__main__ import add_model, run
from tests.open_responses.cases import (
    CASES,
    NOT_BUILT,
    FailedError,
    NotBuiltError,
    Server,
    checked,
    checked_events,
    ended,
    refused,
)
from tests.open_responses.upstream import Upstream


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, Upstream() as upstream:
        craton = Craton(Path(folder) / "data", engine="echo")
        try:
            yield add_model(craton, upstream.origin)
            assert craton.metric("craton_internal_errors_total") == 0
        finally:
            craton.close()


@pytest.mark.parametrize("id", sorted(CASES))
def test_open_responses(server: Server, id: str) -> None:
    if id in NOT_BUILT:
        with pytest.raises(NotBuiltError, match=r"Ask .* for a summary"):
            CASES[id](server)
    else:
        CASES[id](server)


def test_what_lacks_a_member_or_has_a_wrong_one_is_no_response(server: Server) -> None:
    good = server.respond(input="x")
    for name in ("user_id_of_nobody", "usage", "completed_at", "presence_penalty"):
        bad = {key: value for key, value in good.items() if key != name}
        if name in good:
            with pytest.raises(FailedError, match=f"lacks {name}"):
                checked(bad)
        else:
            checked(bad)
    with pytest.raises(FailedError, match="is none"):
        checked({**good, "created_at": "today"})


def test_events_out_of_order_or_of_no_kind_are_found(server: Server) -> None:
    events = server.stream(input="x")
    with pytest.raises(FailedError, match="numbered"):
        checked_events([*events[1:]])
    with pytest.raises(FailedError, match="is no event"):
        checked_events([{**events[0], "type": "response.begun"}, *events[1:]])
    broken: list[dict[str, Any]] = [{"type": "error", "error": {"message": "m", "type": "t"}}]
    with pytest.raises((FailedError, KeyError)):
        checked_events(broken)
    with pytest.raises(FailedError, match="ended with"):
        ended([{"type": "error", "error": {"code": "x"}}])
    with pytest.raises(FailedError, match="expected y"):
        refused([{"type": "error", "error": {"code": "x"}}], "y")


def test_a_case_that_goes_wrong_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = Server("http://127.0.0.1:9/v1", "key", "model")
    with pytest.raises(OSError, match="refused"):
        run(nobody)
    assert "passed" not in capsys.readouterr().out
