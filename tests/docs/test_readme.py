"""What README.md marks with `<!-- run -->` runs, in the order it stands there.

All blocks run in one shell, so that what one exports the next one has; a Python block runs from
that shell. The shell stands in a folder that looks like a checkout in which `craton up` runs: a
block that starts Craton itself is not to be marked.
"""

from pathlib import Path

import pytest

from tests.docs.readme_blocks import BadPage, marked_blocks, script_of
from tests.docs.shell import run
from tests.fakes.craton import Craton

ROOT = Path(__file__).parents[2]
LIMIT_S = 100
NOT_LINKED = {".git", "craton-data"}


@pytest.fixture
def checkout(smol: Craton, tmp_path: Path) -> Path:
    """A folder with the checkout's files and a running Craton's data."""
    for path in ROOT.iterdir():
        if path.name not in NOT_LINKED:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "craton-data").symlink_to(smol.data)
    return tmp_path


def test_what_the_readme_marks_runs(checkout: Path) -> None:
    blocks = marked_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks, "README.md marks no block with <!-- run -->, so nothing of it was tried"
    done = run(script_of(blocks), cwd=checkout, limit_s=LIMIT_S)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"


# --- the runner itself ---------------------------------------------------------------------------

PAGE = """\
# Page

```sh
exit 9
```

<!-- run -->
```sh
export GREETING=hello
```

<!-- run -->

```python
import os
print(os.environ["GREETING"])
```
"""


def test_only_marked_blocks_run_and_share_one_shell(tmp_path: Path) -> None:
    blocks = marked_blocks(PAGE)
    assert [(block.line, block.language) for block in blocks] == [(9, "sh"), (15, "python")]
    done = run(script_of(blocks), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr == "README.md line 9\nREADME.md line 15\n"


@pytest.mark.parametrize(
    "text", ["```sh\nfalse\ntrue\n```\n", "```python\nraise SystemExit(3)\n```\n"]
)
def test_a_block_that_fails_fails_the_page(tmp_path: Path, text: str) -> None:
    done = run(script_of(marked_blocks("<!-- run -->\n" + text)), cwd=tmp_path)
    assert done.returncode != 0


def test_a_page_without_marks_has_no_blocks() -> None:
    assert marked_blocks("```sh\ntrue\n```\n") == []


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("<!-- run -->\n", "stands before no block"),
        ("<!-- run -->\ntext\n```sh\ntrue\n```\n", "stands before no block"),
        ("<!-- run -->\n```json\n{}\n```\n", "nothing runs a block of 'json'"),
        ("<!-- run -->\n```\nx\n```\n", "nothing runs a block of 'no language'"),
        ("<!-- run -->\n```sh\ntrue\n", "doesn't end"),
    ],
)
def test_a_mark_that_marks_nothing_runnable_is_refused(page: str, complaint: str) -> None:
    with pytest.raises(BadPage, match=complaint):
        marked_blocks(page)
