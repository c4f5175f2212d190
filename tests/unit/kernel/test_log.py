import asyncio
import io

import msgspec

from craton.kernel.clock import ManualClock
from craton.kernel.log import Level, Log


class Stream(io.BytesIO):
    """Counts the writes, as each is a system call."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, data: object) -> int:
        self.writes += 1
        return super().write(data)  # type: ignore[arg-type]


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def log(stream: io.BytesIO, **options: object) -> Log:
    return Log("gateway-0", stream=stream, clock=ManualClock(), **options)  # type: ignore[arg-type]


class Line(msgspec.Struct):
    """A line of a fixed shape."""

    number: int
    event: str = "request"


async def test_lines_leave_together_soon() -> None:
    stream = Stream()
    made = log(stream)
    for number in range(5):
        made.info("request", number=number)
    for number in range(5, 10):
        made.write(Line(number))
    assert stream.writes == 0
    async with asyncio.timeout(5):
        while not stream.writes:
            await asyncio.sleep(0.001)
    assert stream.writes == 1
    assert [line["number"] for line in lines(stream)] == list(range(10))


async def test_a_warning_leaves_at_once_with_what_waited_before_it() -> None:
    stream = Stream()
    made = log(stream)
    made.info("first")
    made.warning("second")
    assert [line["event"] for line in lines(stream)] == ["first", "second"]
    made.error("third", reason=ValueError("why"))
    assert lines(stream)[2]["reason"] == "why"
    assert lines(stream)[2]["level"] == "error"


def test_without_a_loop_each_line_leaves_at_once() -> None:
    stream = Stream()
    log(stream).info("started")
    assert lines(stream)[0]["event"] == "started"


def test_lines_under_the_level_are_left_out() -> None:
    stream = Stream()
    made = log(stream, level=Level.WARNING)
    made.info("no")
    made.debug("no")
    made.write(Line(1))
    made.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_each_line_is_one_object_with_time_level_event_and_process() -> None:
    stream = Stream()
    log(stream, fields={"part": "x"}).info("odd\ntext", value="a\nb")
    assert stream.getvalue().count(b"\n") == 1
    (line,) = lines(stream)
    assert line == {
        "time": 1_800_000_000.0,
        "level": "info",
        "event": "odd\ntext",
        "process": "gateway-0",
        "part": "x",
        "value": "a\nb",
    }
