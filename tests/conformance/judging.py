"""One recorded answer: what it is evidence of, and what is wrong with it."""

from tests.conformance import aws_answers, sdk_answers
from tests.conformance.operations import asked, client_of
from tests.conformance.recording import Record
from tests.conformance.rows import Row


def row_of(record: Record) -> tuple[Row, list[str]] | None:
    """What one answer is evidence of, and what is wrong with it; None if for no operation."""
    found = asked(record)
    if found is None:
        return None
    if found.entry is not None:
        verdict = aws_answers.judged(found.entry, record)
    else:
        verdict = sdk_answers.judged(found, record)
    row = Row(found.wire, found.operation, client_of(record), verdict.outcome)
    return row, [f"{found.wire} {found.operation}: {fault}" for fault in verdict.breaches]
