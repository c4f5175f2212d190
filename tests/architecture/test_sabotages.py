"""Every sabotage still fits the code it is about; whether it is caught, `make mutants` tells."""

import ast
from functools import cache

import pytest

from tests.mutants.__main__ import EVERY, ROOT
from tests.mutants.catalogue import Mutant


@cache
def functions(file: str) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name)
def test_a_sabotage_changes_one_place_and_names_a_test_that_is_there(mutant: Mutant) -> None:
    for edit in mutant.edits:
        text = (ROOT / edit.file).read_text(encoding="utf-8")
        assert text.count(edit.old) == 1, f"{edit.file} has its text {text.count(edit.old)} times"
    file, _, name = mutant.test.partition("::")
    if name:
        assert name.rpartition("::")[2].partition("[")[0] in functions(file)


def test_no_two_sabotages_have_the_same_name() -> None:
    assert len({mutant.name for mutant in EVERY}) == len(EVERY)
