"""A gateway worker that records its answers.

    python -m tests.conformance.worker SETTINGS NUMBER DESCRIPTOR

It is `craton.bootstrap.worker` in all else.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from craton.bootstrap import worker
from craton.bootstrap.supervisor import Spec
from tests.conformance.recording import VARIABLE, RecordedApp, Recorder

PLAIN = "craton.bootstrap.worker"


def recorded(specs: list[Spec]) -> list[Spec]:
    """The same children, with recording workers where the environment names a folder."""
    if VARIABLE not in os.environ:
        return specs
    return [
        replace(
            spec, command=tuple(__spec__.name if word == PLAIN else word for word in spec.command)
        )
        for spec in specs
    ]


def main() -> None:
    recorder = Recorder(Path(os.environ[VARIABLE]))
    assemble = worker.assemble

    def assemble_recorded(*arguments: Any, **named: Any) -> worker.Worker:
        made = assemble(*arguments, **named)
        app: Any = RecordedApp(made.app, recorder)
        return replace(made, app=app)

    worker.assemble = assemble_recorded
    worker.main()


if __name__ == "__main__":
    sys.exit(main())
