"""Which measured set-ups ran with speculative decoding, read from the benchmark's own history.

The serving sample has lost the flag. InferenceX (github.com/SemiAnalysisAI/InferenceX, Apache-2.0),
where those rows were measured, lists every set-up it runs in one file under version control:
image, split, workload, concurrencies, and `spec-decoding`. This script walks the versions of that
file up to the sample's date and writes, for each set-up of a model that carries a draft head, on
which day it was first listed with and without speculative decoding.

    git clone https://github.com/SemiAnalysisAI/InferenceX /tmp/inferencex
    python -m benchmarks.silicon.data_serving_speculative /tmp/inferencex
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

OUTPUT = Path(__file__).with_name("data") / "serving_speculative.json"
CONFIG = ".github/configs/nvidia-master.yaml"
BEFORE = "2026-05-01"
"""The last row of the sample was measured on 2026-04-27."""

PREFIXES = {
    "dsr1": "deepseek-v3",
    "dsr1-fp8": "deepseek-v3",
    "DeepSeek-R1-0528": "deepseek-v3",
    "qwen3.5": "qwen3.5-397b-a17b",
    "glm5": "glm-5",
}
"""Models with a draft head, by the file's `model-prefix`."""


def versions(repository: Path) -> list[tuple[str, str]]:
    """Day and text of every version of the file, oldest first."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(repository), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    log = git("log", "--reverse", "--format=%H %cs", f"--before={BEFORE}", "--", CONFIG)
    found = [line.split() for line in log.splitlines()]
    return [(day, git("show", f"{commit}:{CONFIG}")) for commit, day in found]


def concurrencies(space: dict[str, Any]) -> list[int]:
    """All that a search space runs."""
    if "conc-list" in space:
        return [int(each) for each in space["conc-list"]]
    found, end = [int(space["conc-start"])], int(space["conc-end"])
    while found[-1] * 2 <= end:
        found.append(found[-1] * 2)
    return found if found[-1] == end else [*found, end]


def split_of(space: dict[str, Any]) -> str:
    """Ranks, experts' ranks and attention data parallelism; of both pools where they are apart."""

    def one(part: dict[str, Any]) -> str:
        return f"{part['tp']}-{part.get('ep', 1)}-{'dp' if part.get('dp-attn') else 'tp'}"

    if "prefill" not in space:
        return one(space)
    return " ".join(
        f"{space[pool]['num-worker']}x{one(space[pool])}" for pool in ("prefill", "decode")
    )


def set_ups(text: str) -> list[tuple[str, int, str]]:
    """Key, concurrency and method of every set-up in one version of the file."""
    found: list[tuple[str, int, str]] = []
    for name, entry in yaml.safe_load(text).items():
        model = PREFIXES.get(entry.get("model-prefix", ""))
        if model is None:
            continue
        framework = next(f for f in ("trt", "sglang", "vllm") if f in entry["framework"])
        chip = name.split("-")[2]
        head = [model, chip, entry["precision"], framework, entry["image"].replace("#", "/")]
        for load in entry.get("seq-len-configs", []):
            for space in load["search-space"]:
                method = space.get("spec-decoding") or "none"
                key = "|".join([*head, f"{load['isl']}", f"{load['osl']}", split_of(space)])
                found += [(key, each, method) for each in concurrencies(space)]
    return found


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    table: dict[str, dict[str, dict[str, list[int]]]] = {}
    seen: set[tuple[str, int, str]] = set()
    for day, text in versions(parser.parse_args().repository):
        try:
            listed = set_ups(text)
        except yaml.YAMLError as error:
            print(f"{day}: not readable, left out: {str(error).splitlines()[0]}")
            continue
        for key, concurrency, method in listed:
            if (key, concurrency, method) not in seen:
                seen.add((key, concurrency, method))
                days = table.setdefault(key, {}).setdefault(method, {})
                days.setdefault(day, []).append(concurrency)
    lines = [f"  {json.dumps(key)}: {json.dumps(table[key])}" for key in sorted(table)]
    source = json.dumps(
        "github.com/SemiAnalysisAI/InferenceX .github/configs/nvidia-master.yaml (Apache-2.0)"
    )
    body = ",\n".join(lines)
    OUTPUT.write_text(f'{{\n"source": {source},\n"set_ups": {{\n{body}\n}}\n}}\n')
    print(f"{len(table)} set-ups in {OUTPUT.name}")


if __name__ == "__main__":
    main()
