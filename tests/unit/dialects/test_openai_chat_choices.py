from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat_stream import ChoicesWriter
from craton.messages import (
    BlockStart,
    BlockStop,
    ChoiceEvent,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    StopReason,
    TextDelta,
    Usage,
)

STAMP = Stamp("req-1", "m", 1)
WHOLE = [
    MessageStart(),
    BlockStart(index=0),
    TextDelta(index=0, text="hi"),
    BlockStop(index=0),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(usage=Usage(input_tokens=1, output_tokens=1)),
]


def test_nothing_of_several_choices_is_told_as_complete_before_all_are() -> None:
    writer = ChoicesWriter(Request(model="m", messages=[], choices=2, stream_usage=True), STAMP)
    told = b"".join(
        writer.write(ChoiceEvent(choice, event)) for event in WHOLE for choice in (0, 1)
    )
    assert told.count(b'"content":"hi"') == 2
    assert b'"finish_reason":"stop"' not in told
    last = writer.write(Metadata(usage=Usage(input_tokens=1, output_tokens=2)))
    assert last.count(b'"finish_reason":"stop"') == 2
    assert b'"completion_tokens":2' in last
    assert last.endswith(b"data: [DONE]\n\n")


def test_a_choice_that_never_began_is_not_told_as_complete() -> None:
    writer = ChoicesWriter(Request(model="m", messages=[], choices=2), STAMP)
    for event in WHOLE:
        writer.write(ChoiceEvent(0, event))
    last = writer.write(Metadata(usage=Usage(input_tokens=1, output_tokens=1)))
    assert last.count(b'"finish_reason":"stop"') == 1
