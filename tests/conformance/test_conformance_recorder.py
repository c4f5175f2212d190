"""The recorder writes down each whole answer once, and the session compares what it comes to."""

from pathlib import Path
from typing import Any

import pytest

from craton.bootstrap.supervisor import Spec
from craton.http import Headers, HttpRequest
from craton.kernel.errors import BadRequest
from tests.conformance import rows
from tests.conformance.plugin import differences, merged
from tests.conformance.recording import VARIABLE, Reader, RecordedApp, Recorder
from tests.conformance.rows import Row
from tests.conformance.worker import PLAIN, recorded
from tests.fakes.turns import FakeResponder

ASKED = HttpRequest("POST", b"/x", b"q=1", Headers([(b"a", b"b")]), b"{}", "127.0.0.1")
ONE = Row("w", "One", "boto3", "answered")
TWO = Row("w", "Two", "boto3", "refused: E")


class App:
    """Answers as it is told to."""

    def __init__(self, *told: tuple[Any, ...]) -> None:
        self._told = told

    async def handle(self, request: HttpRequest, responder: Any) -> None:
        for name, *arguments in self._told:
            getattr(responder, name)(*arguments)

    def refuse(self, request: HttpRequest | None, error: Any) -> Any:
        return 400, (), b"no"

    def internal_error(self, *_: Any) -> None: ...


def app(folder: Path, *told: tuple[Any, ...]) -> Any:
    inner: Any = App(*told)
    return RecordedApp(inner, Recorder(folder))


async def test_a_whole_answer_is_noted_and_given(tmp_path: Path) -> None:
    responder: Any = FakeResponder()
    await app(tmp_path, ("respond", 200, ((b"h", b"v"),), b"body")).handle(ASKED, responder)
    assert responder.body == b"body"
    (found,) = Reader(tmp_path).new()
    assert (found.method, found.path, found.query, found.form) == ("POST", b"/x", b"q=1", b"")
    assert (found.status, found.answer_headers, found.answer) == (200, [(b"h", b"v")], b"body")
    assert not found.is_stream


async def test_a_stream_is_noted_when_it_ends_and_not_when_it_breaks(tmp_path: Path) -> None:
    pieces = (("start", 200, ()), ("write", b"a"), ("write", b"b"))
    reader = Reader(tmp_path)
    await app(tmp_path, *pieces).handle(ASKED, FakeResponder())
    assert list(reader.new()) == []
    await app(tmp_path, *pieces, ("finish",)).handle(ASKED, FakeResponder())
    (found,) = reader.new()
    assert (found.answer, found.is_stream) == (b"ab", True)
    assert list(reader.new()) == []


def test_a_refusal_of_https_own_is_noted(tmp_path: Path) -> None:
    wrapped = app(tmp_path)
    wrapped.refuse(ASKED, BadRequest("m"))
    wrapped.refuse(None, BadRequest("m"))
    assert [record.status for record in Reader(tmp_path).new()] == [400]


def test_a_record_that_is_still_being_written_is_read_later(tmp_path: Path) -> None:
    app(tmp_path).refuse(ASKED, BadRequest("m"))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    reader = Reader(tmp_path)
    assert list(reader.new()) == []
    file.write_bytes(whole)
    assert len(list(reader.new())) == 1


def test_workers_record_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [Spec("state", ("python", "-m", "state")), Spec("gateway-0", ("python", "-m", PLAIN))]
    assert recorded(specs)[1].command == ("python", "-m", "tests.conformance.worker")
    assert recorded(specs)[0] == specs[0]
    monkeypatch.delenv(VARIABLE)
    assert recorded(specs) == specs


def test_rows_survive_their_file(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    assert rows.read(file) == {}
    rows.write({"b": {TWO, ONE}, "a": {ONE}, "none": set()}, file)
    assert rows.read(file) == {"a": {ONE}, "b": {ONE, TWO}}
    first = file.read_bytes()
    rows.write({"a": {ONE}, "b": {ONE, TWO}}, file)
    assert file.read_bytes() == first


def test_a_module_that_ran_whole_replaces_its_rows_and_another_adds_to_them() -> None:
    assert merged({"m": {ONE}}, {"m": {TWO}}, {"m"}) == {"m": {TWO}}
    assert merged({"m": {ONE}}, {"m": {TWO}}, ()) == {"m": {ONE, TWO}}
    assert merged({"m": {ONE}}, {}, {"m"}) == {"m": set()}


def test_what_is_recorded_and_seen_is_no_difference() -> None:
    assert differences({"m": {ONE}}, {"m": {ONE}}, {"m"}, ()) == []
    assert differences({"m": {ONE}}, {"n": {ONE}}, {"n"}, ()) == [], "known from another module"
    assert differences({"m": {ONE}}, {}, (), ()) == [], "the module didn't run whole"
    assert differences({"m": {ONE}, "n": {ONE}}, {}, {"m"}, ()) == [], "another module's claim"


def test_what_is_seen_and_not_recorded_is_told_with_what_to_do() -> None:
    told = differences({"m": {ONE}}, {"m": {ONE, TWO}}, {"m"}, ())
    assert told[0] == "m: not recorded: w | Two | boto3 | refused: E"
    assert told[-1] == "If this is meant: pytest --record m && make docs"
    assert differences({"m": {ONE}}, {"m": {TWO}}, (), {"m"}) == [], (
        "a failed module proves nothing"
    )


def test_what_nobody_sees_any_more_is_told() -> None:
    told = differences({"m": {ONE}, "n": {ONE}}, {}, {"m", "n"}, ())
    assert told[0] == "m: not seen any more: w | One | boto3 | answered"
    assert len(told) == 3
