"""docs/clients.md: its blocks run as they stand, with the programs and SDKs that they are for.

A section's blocks run in one shell after `eval "$(craton env)"`, in an empty folder that is home,
too, with the section's own programs first on the path. That a program ends well isn't enough: the
wires that it is said to speak must have answered it, and nothing may have been refused.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.clients.installing import (
    INSTALL_LIMIT_S,
    RUN_LIMIT_S,
    node_folder_with,
    python_with,
    run,
)
from tests.docs.readme_blocks import marked_blocks, script_of
from tests.fakes.craton import Craton

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
FOLDER = Path(__file__).parent
LOCKS = {path.stem: path for path in FOLDER.glob("*/locks/*.txt")}
OURS = Path(sys.executable).parent
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
CONVERSE, CONVERSE_STREAM, INVOKE = "converse", "converse-stream", "invoke"
POLL_S = 0.02
LAST = '"path":"/readyz"'
ALIAS = "us.amazon.nova-micro-v1:0"


@dataclass(frozen=True, slots=True)
class Section:
    """What a section's blocks need, and which wires have to answer them."""

    name: str
    wires: Counter[str]
    """How often each has to answer."""
    lock: str | None = None
    """Its Python packages; those of the tests where None."""
    npm: str | None = None
    """The folder of its packages from npm."""
    language: str = "sh"
    refusals: Counter[str] = field(default_factory=Counter[str])
    """What it tries and does without."""
    limit_s: float = RUN_LIMIT_S
    says: str = ""
    """Words that it prints; none where the model may say what it likes."""


SECTIONS = [
    Section("boto3", Counter({CONVERSE: 1})),
    Section("openai", Counter({CHAT: 1})),
    Section("anthropic", Counter({MESSAGES: 1, INVOKE: 1})),
    Section("LiteLLM", Counter({CHAT: 1, MESSAGES: 1, CONVERSE: 1}), lock="litellm"),
    Section("LangChain", Counter({CONVERSE: 1}), lock="langchain_aws"),
    Section("Strands Agents", Counter({CONVERSE_STREAM: 1}), lock="strands"),
    Section("Pydantic AI", Counter({CHAT: 1, MESSAGES: 1, CONVERSE: 1}), lock="pydantic_ai"),
    Section("llm", Counter({CHAT: 2, CONVERSE: 1, CONVERSE_STREAM: 1}), lock="llm"),
    Section("Aider", Counter({CHAT: 1, CONVERSE_STREAM: 1}), lock="aider"),
    Section(
        "Inspect",
        Counter({RESPONSES: 2, MESSAGES: 2, CONVERSE: 2}),
        lock="inspect_ai",
        # It tries once whether the model sums up its reasoning.
        refusals=Counter({RESPONSES: 1}),
        says="accuracy",
    ),
    Section("AWS SDK for JavaScript", Counter({CONVERSE: 1}), npm="node", language="js"),
    Section(
        "Vercel's AI SDK",
        Counter({CHAT: 1, MESSAGES: 1, CONVERSE: 1}),
        npm="vercel",
        language="js",
    ),
    # It sets no bound to an answer, and the model may talk until its context is full.
    Section("Claude Code", Counter({MESSAGES: 1}), npm="claude_code", limit_s=2 * RUN_LIMIT_S),
]


def sections_of(page: str) -> dict[str, str]:
    """The page's sections by heading."""
    _, *found = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


TEXTS = sections_of(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def asked(smol: Craton) -> Iterator["Asked"]:
    yield Asked(smol)
    # Whoever has the same Craton after this test finds no alias; where none was made, that is told.
    forget = (str(OURS / "craton"), "models", "unalias", ALIAS, "--data", str(smol.data))
    run(*forget, at=smol.data, variables={})


class Asked:
    """What a Craton was asked since then, by wire."""

    def __init__(self, craton: Craton) -> None:
        self.craton = craton
        self._before = len(craton.log())

    def answers(self) -> tuple[Counter[str], Counter[str]]:
        """How often each wire answered, and how often it refused."""
        self._until_written()
        answered, refused = Counter[str](), Counter[str]()
        for line in self.craton.log()[self._before :].splitlines():
            entry = msgspec.json.decode(line)
            if entry.get("event") == "request" and entry["method"] == "POST":
                path = entry["path"]
                wire = path.rpartition("/")[2] if path.startswith("/model/") else path
                (answered if entry["status"] == 200 else refused)[wire] += 1
        del answered["/craton/v1/aliases"]
        return answered, refused

    def _until_written(self) -> None:
        """The log is written now and then, in order: it has all when it has the last request."""
        before = self.craton.log().count(LAST)
        self.craton.get("/readyz")
        while self.craton.log().count(LAST) == before:
            time.sleep(POLL_S)


def script(section: Section, text: str) -> str:
    """The section's blocks as one script."""
    # The reader of blocks knows shells and Python: what Node runs is put into a file below.
    blocks = marked_blocks(text.replace("```js\n", "```sh\n"))
    assert blocks, f"{section.name} marks no block with <!-- run -->, so nothing of it was tried"
    if section.language == "js":
        (block,) = blocks
        return f"cat > client.mjs <<'END OF BLOCK'\n{block.text}END OF BLOCK\nnode client.mjs"
    return script_of(blocks, page=f"docs/clients.md, {section.name},")


def try_section(section: Section, asked: Asked, path: Path, home: Path) -> None:
    (home / "craton-data").symlink_to(asked.craton.data)
    variables = {
        "PATH": os.pathsep.join([str(path), str(OURS), os.environ["PATH"]]),
        "HOME": str(home),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no list of prices from elsewhere
    }
    text = 'eval "$(craton env)"\n' + script(section, TEXTS[section.name])
    done = run("sh", "-c", text, at=home, variables=variables, limit_s=section.limit_s)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert section.says in done.stdout, done.stdout + done.stderr
    answered, refused = asked.answers()
    assert answered == section.wires
    assert refused == section.refusals


def named(section: Section) -> str:
    return section.name


@pytest.mark.slow
@pytest.mark.timeout(RUN_LIMIT_S)
@pytest.mark.parametrize(
    "section", [each for each in SECTIONS if not each.lock and not each.npm], ids=named
)
def test_the_lines_for_an_sdk_run(section: Section, asked: Asked, tmp_path: Path) -> None:
    try_section(section, asked, OURS, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_LIMIT_S + RUN_LIMIT_S)
@pytest.mark.parametrize("section", [each for each in SECTIONS if each.lock], ids=named)
def test_the_lines_for_a_program_with_its_own_pins_run(
    section: Section, asked: Asked, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    assert section.lock is not None
    python = python_with(LOCKS[section.lock], pytestconfig.cache.mkdir("craton-clients"))
    try_section(section, asked, python.parent, tmp_path)


@pytest.mark.node
@pytest.mark.timeout(INSTALL_LIMIT_S + 2 * RUN_LIMIT_S)
@pytest.mark.parametrize("section", [each for each in SECTIONS if each.npm], ids=named)
def test_the_lines_for_what_comes_from_npm_run(
    section: Section, asked: Asked, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    assert section.npm is not None
    folder = node_folder_with(FOLDER / section.npm, pytestconfig.cache.mkdir("craton-node"))
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    try_section(section, asked, folder / "node_modules" / ".bin", tmp_path)


def test_every_section_of_the_page_is_tried() -> None:
    assert list(TEXTS) == [section.name for section in SECTIONS]


def test_the_table_leads_to_every_section() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## ")[0]
    led = re.findall(r"\| \[([^\]]+)\]\(#([^)]+)\) \|", table)
    assert [name for name, _ in led] == list(TEXTS)
    for name, anchor in led:
        assert anchor == re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
