"""Runs every `check_…` function of a script and says which passed: shared by the scripts here.

They run in environments of their own, which have the client under test and nothing of Craton's.
"""

import sys
import traceback
from collections.abc import Callable, Mapping

MODEL = "huggingfacetb.smollm2-135m-instruct"
SYSTEM = "Be brief."
QUESTION = "What is the capital of France?"


def run(names: Mapping[str, object]) -> None:
    """Run the checks among a module's names; exits with 1 if one failed, or if there are none."""
    checks: list[tuple[str, Callable[[], object]]] = [
        (name, value)
        for name, value in names.items()
        if name.startswith("check_") and callable(value)
    ]
    failed = 0
    for name, check in checks:
        try:
            check()
        except Exception:  # noqa: BLE001 - whatever a client raises is what is told
            failed += 1
            print(f"FAILED {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"passed {name}", flush=True)
    sys.exit(1 if failed or not checks else 0)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."
