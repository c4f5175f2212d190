"""Forced calls and schemas by the thousand on the real model: `make tools`.

    python -m tests.tools --calls 1000 --schemas 1000

Case N is the same in every run, so a long run can be made in parts: `--first 500 --calls 500`.
Each answer must be valid by `jsonschema`, or have been cut off by `max_tokens` and say so (then it
must be the beginning of something valid), or have been refused by name before the engine saw it.
At the end: how many of each, the tokens a second, and what the grammar cost.
"""

import argparse
import asyncio
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from craton.kernel.errors import BadRequest
from craton.messages import (
    Answer,
    Message,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    fold,
)
from craton.messages.blocks import ToolUse
from craton.messages.request import JsonSchemaFormat
from craton.messages.tools import AnyChoice, Tool, ToolChoiceByName
from craton.models import weights
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.embedded.requirements import plan
from craton.models.engines.embedded.specification import Specification, command
from craton.models.engines.embedded.tools_grammar import Callable, Wanted, constraint
from tests.tools import gbnf
from tests.tools.schemas import KINDS, REFUSED, Maker

AT_ONCE = 4
MAX_TOKENS = 160
ASKS = [
    "Make up an example.",
    "Give me some data about a city.",
    "Record this: Ada Lovelace, born 1815-12-10, likes blue.",
    "Fill in the form for a new customer.",
]


@dataclass
class Report:
    """What came out."""

    counts: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    output_tokens: int = 0
    chip_us: int = 0
    compile_ms: list[float] = field(default_factory=list[float])

    def fail(self, request: Request, what: str) -> None:
        self.counts["INVALID"] += 1
        self.failures.append(f"{what}\n    {request.tools or request.output_format}")


def asked(rnd: random.Random, **members: Any) -> Request:
    text = rnd.choice(ASKS)
    return Request(
        model="smol",
        messages=[Message(role=Role.USER, content=[Text(text=text)])],
        temperature=rnd.choice([0.0, 0.7, 1.5]),
        seed=rnd.randrange(2**31),
        **members,
    )


def of_schema(number: int) -> Request:
    rnd = random.Random(f"schema {number}")
    if number % 50 == 49:
        schema = REFUSED[number // 50 % len(REFUSED)]
    else:
        schema, _ = Maker(rnd).document(KINDS[number % len(KINDS)])
    return asked(rnd, output_format=JsonSchemaFormat(schema=schema))


def of_call(number: int) -> Request:
    rnd = random.Random(f"call {number}")
    tools: list[Any] = []
    for index in range(rnd.choice([1, 1, 2, 4])):
        maker = Maker(rnd)
        schema, _ = maker.document(rnd.choice(["object", "object", "map", "string", "recursive"]))
        tools.append(Tool(name=f"tool_{index}", description="Does something", schema=schema))
    name = rnd.choice(tools).name
    choice = ToolChoiceByName(name=name) if rnd.random() < 0.6 else AnyChoice()
    parallel = rnd.choice([None, False, True])
    return asked(rnd, tools=tools, tool_choice=choice, parallel_tool_use=parallel)


class Bench:
    """A model in its process, and the verdict on each of its answers."""

    def __init__(self, engine: EmbeddedEngine, max_tokens: int) -> None:
        self._engine = engine
        self._max_tokens = max_tokens

    async def judge(self, request: Request, request_id: str, report: Report) -> None:
        request = msgspec.structs.replace(request, max_tokens=self._max_tokens)
        begun = time.perf_counter()
        try:
            planned = plan(request)
        except BadRequest:
            report.counts["refused by name"] += 1
            return
        report.compile_ms.append((time.perf_counter() - begun) * 1000)
        whole = await self.answer(request, request_id)
        report.output_tokens += whole.metadata.usage.output_tokens
        report.chip_us += whole.metadata.chip_us
        assert planned.constraint is not None
        if request.output_format is None:
            self._judge_calls(request, whole, report)
        else:
            self._judge_shape(request, whole, gbnf.Grammar(planned.constraint.grammar), report)

    async def answer(self, request: Request, request_id: str) -> Answer:
        events = self._engine.generate(request, request_id=request_id, stop=Stop())
        return fold([event async for event in events])

    async def spent(self, request: Request, request_id: str, process: int) -> tuple[float, float]:
        """Tokens a second after the first, and the process's time a token, in milliseconds.

        On a machine that others use too, the second is the one to compare.
        """
        first = last = begun = 0.0
        tokens = 0
        async for event in self._engine.generate(request, request_id=request_id, stop=Stop()):
            if isinstance(event, TextDelta):
                last = time.perf_counter()
                if not first:
                    first, begun = last, processor_seconds(process)
            elif isinstance(event, Metadata):
                tokens = event.usage.output_tokens
        each_ms = (processor_seconds(process) - begun) * 1000 / max(tokens - 1, 1)
        return ((tokens - 1) / (last - first) if last > first else 0.0), each_ms

    def _judge_shape(
        self, request: Request, whole: Answer, grammar: gbnf.Grammar, report: Report
    ) -> None:
        assert isinstance(request.output_format, JsonSchemaFormat)
        (block,) = whole.content
        if whole.stop.stop_reason is StopReason.MAX_TOKENS:
            report.counts["cut off by max_tokens"] += 1
            if not grammar.is_prefix(block.text):
                report.fail(request, f"no beginning of an answer: {block.text!r}")
        elif is_valid(request.output_format.schema, block.text):
            report.counts["valid"] += 1
        else:
            report.fail(request, f"{whole.stop.stop_reason}: {block.text!r}")

    def _judge_calls(self, request: Request, whole: Answer, report: Report) -> None:
        schemas = {tool.name: tool.schema for tool in request.tools if isinstance(tool, Tool)}
        calls = [block for block in whole.content if isinstance(block, ToolUse)]
        is_cut = whole.stop.stop_reason is StopReason.MAX_TOKENS
        checked = calls
        if is_cut and calls and isinstance(cut := calls[-1].input, str):
            checked = calls[:-1]
            if not begins_arguments(schemas[calls[-1].name], cut):
                report.fail(request, f"no beginning of a call: {cut!r}")
                return
        for call in checked:
            if not is_valid(schemas[call.name], json.dumps(call.input)):
                report.fail(request, f"{whole.stop.stop_reason}: {call}")
                return
        if is_cut:
            report.counts["cut off by max_tokens"] += 1
        elif whole.stop.stop_reason is not StopReason.TOOL_USE or not calls:
            report.fail(request, f"no call: {whole.content}")
        elif isinstance(request.tool_choice, ToolChoiceByName) and (
            [call.name for call in calls] != [request.tool_choice.name]
        ):
            report.fail(request, f"not the tool that was chosen: {calls}")
        elif request.parallel_tool_use is False and len(calls) != 1:
            report.fail(request, f"more than one call: {calls}")
        else:
            report.counts["valid"] += 1


def begins_arguments(schema: Any, text: str) -> bool:
    made = constraint(Wanted([Callable("t", schema)], must_call=True))
    assert made is not None
    return gbnf.Grammar(made.grammar).is_prefix(" " + text)


def is_valid(schema: Any, text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return jsonschema.Draft202012Validator(schema).is_valid(value)


async def run(make: Any, cases: range, bench: Bench, label: str) -> Report:
    report = Report()
    numbers = iter(cases)
    begun = time.perf_counter()

    async def work() -> None:
        for number in numbers:
            await bench.judge(make(number), f"{label}-{number}", report)
            if number % 100 == 99:
                print(f"{label}: at case {number}, {dict(report.counts)}", flush=True)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - begun
    compile_ms = sorted(report.compile_ms)
    print(
        f"{label}: cases {cases.start} to {cases.stop - 1} in {seconds:.0f} s; "
        + ", ".join(f"{number} {name}" for name, number in report.counts.most_common())
        + f"; {report.output_tokens} tokens, {report.output_tokens / seconds:.1f} a second with "
        f"{AT_ONCE} at once; making a grammar took {compile_ms[len(compile_ms) // 2]:.1f} ms in "
        f"the middle, {compile_ms[-1]:.0f} ms at most",
        flush=True,
    )
    for failure in report.failures[:20]:
        print("  INVALID", failure)
    return report


async def cost(bench: Bench, rounds: int, process: int) -> None:
    """What tokens cost on one stream: free ones, and as many under grammars."""
    tool = Tool(name="save", schema={"properties": {"n": {"type": "integer"}}})
    number = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 200}
    text = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 200}
    words = {"type": "array", "items": {"enum": [f"w{n * 7919}" for n in range(200)]}}
    kinds: dict[str, dict[str, Any]] = {
        "free text": {},
        "text that may call a tool": {"tools": [tool]},
        "a list of numbers": {"output_format": JsonSchemaFormat(schema=number)},
        "a list of short strings": {"output_format": JsonSchemaFormat(schema=text)},
        "a list of 200 words": {
            "output_format": JsonSchemaFormat(schema={**words, "minItems": 200})
        },
    }
    rates = dict.fromkeys(kinds, 0.0)
    spent = dict.fromkeys(kinds, math.inf)
    for turn in range(rounds):
        for name, members in kinds.items():
            request = Request(
                model="smol",
                messages=[Message(role=Role.USER, content=[Text(text="Tell me a long story.")])],
                max_tokens=96,
                temperature=0.7,
                seed=turn,
                **members,
            )
            rate, each_ms = await bench.spent(request, f"cost-{turn}-{name}", process)
            rates[name], spent[name] = max(rates[name], rate), min(spent[name], each_ms)
    print("one stream, best of the rounds: tokens a second, processor time a token")
    for name, rate in rates.items():
        print(f"  {name:28} {rate:6.1f}  {spent[name]:6.1f} ms", flush=True)


def processor_seconds(process: int) -> float:
    """Processor time that a process has used, all of its threads together (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of measuring the grammar's cost")
    parser.add_argument("--weights", type=Path, default=Path(".pytest_cache/d/craton-weights"))
    chosen = parser.parse_args()
    model = weights.fetch(weights.find("smollm2-135m-instruct"), chosen.weights)
    with tempfile.TemporaryDirectory() as folder:
        specification = Specification(
            name="smol",
            model=model,
            socket=Path(folder) / "e.sock",
            slots=AT_ONCE,
            threads=chosen.threads,
        )
        with (Path(folder) / "engine.log").open("wb") as log:
            process = subprocess.Popen(
                command(specification, python=sys.executable), stdin=subprocess.PIPE, stderr=log
            )
        engine = EmbeddedEngine(specification.socket, name="smol")
        try:
            bench = Bench(engine, chosen.max_tokens)
            if chosen.rounds:
                await cost(bench, chosen.rounds, process.pid)
            reports = [
                await run(make, range(chosen.first, chosen.first + count), bench, label)
                for make, count, label in (
                    (of_call, chosen.calls, "calls"),
                    (of_schema, chosen.schemas, "schemas"),
                )
                if count
            ]
        finally:
            await engine.close()
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
