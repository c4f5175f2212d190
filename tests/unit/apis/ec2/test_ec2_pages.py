"""Pages: every thing once, in order, whatever the size of a page."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.apis.ec2.pages import page
from craton.kernel.errors import BadRequest


def paged(
    things: list[str], operation: str = "DescribeThings", **params: Any
) -> tuple[list[str], str | None]:
    return page(things, operation=operation, params=params, key=lambda thing: thing)


@given(st.sets(st.text(max_size=4), max_size=12), st.integers(1, 5))
def test_all_pages_together_have_everything_once(things: set[str], size: int) -> None:
    seen: list[str] = []
    token: dict[str, str] = {}
    for _ in range(len(things) + 1):
        found, following = paged(list(things), MaxResults=size, Owner="x", **token)
        seen += found
        assert len(found) <= size
        if following is None:
            break
        assert found, "a page without things that has another after it"
        token = {"NextToken": following}
    assert seen == sorted(things)


def test_what_comes_between_pages_is_seen_and_what_goes_is_not_missed() -> None:
    _, token = paged(["a", "b", "c", "d"], MaxResults=2)
    assert paged(["a", "aa", "c", "cc", "d"], MaxResults=9, NextToken=token)[0] == ["c", "cc", "d"]


def test_a_full_last_page_has_no_token() -> None:
    assert paged(["a", "b"], MaxResults=2) == (["a", "b"], None)


def test_the_size_of_a_page_may_change_on_the_way() -> None:
    _, token = paged(["a", "b", "c"], MaxResults=1)
    assert paged(["a", "b", "c"], MaxResults=2, NextToken=token) == (["b", "c"], None)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_size_within_limits(limit: int) -> None:
    with pytest.raises(BadRequest, match="MaxResults") as caught:
        paged(["a"], MaxResults=limit)
    assert caught.value.code == "InvalidParameterValue"


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "AAAA",
        "A" * 5000,
        forged("{}"),
        forged("[1]"),
        forged('[1,"x","a"]'),
        forged('[1,"x","a",2]'),
        forged("[" * 500),
    ],
)
def test_a_token_that_nobody_gave_is_refused(token: str) -> None:
    with pytest.raises(BadRequest, match="NextToken is invalid") as caught:
        paged(["a"], NextToken=token)
    assert caught.value.code == "InvalidParameterValue"


def test_a_token_is_good_for_its_own_question_only() -> None:
    _, token = paged(["a", "b"], MaxResults=1, Owner="x")
    for other in ({"Owner": "y"}, {}, {"Owner": "x", "operation": "DescribeOthers"}):
        with pytest.raises(BadRequest, match="NextToken is invalid"):
            paged(["a", "b"], MaxResults=1, NextToken=token, **other)
    assert paged(["a", "b"], MaxResults=1, NextToken=token, Owner="x") == (["b"], None)
