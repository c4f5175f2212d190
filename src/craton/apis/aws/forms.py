"""The parameters of a form, as a tree: `Filter.1.Name=x` is `{"Filter": {"1": {"Name": "x"}}}`.

The services without paths of their own (EC2, STS) are sent forms, in the body of a POST or in the
query of a GET. Whatever a client sends, the work here grows with the length of the text alone:
how many parameters there are and how deep their names go is limited, and an index is a name like
any other, so that a large one costs nothing.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from craton.kernel.errors import BadRequest, TooLarge

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 1024 * 1024
PARAMETERS_MAX = 5_000
"""EC2's longest lists have 1000 ids, and 10 filters 200 values each; this is more than both."""
NAME_CHARACTERS_MAX = 500
STEPS_MAX = 32
"""How deep a name may go; the deepest in EC2's model has 11 steps."""

SIGNATURE = "X-Amz-"
"""What a presigned query says about its signature begins so."""

Form = Mapping[str, str]
Tree = dict[str, "Tree | str"]


def read_form(raw_query: bytes, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The parameters of the query, then of the body; those of a signature left out.

    BadRequest (MalformedQueryString, InvalidQueryParameter) or TooLarge for a form that is over a
    limit, isn't UTF-8, or names a parameter twice.
    """
    pairs = _pairs(raw_query)
    if headers.get("content-type", "").startswith(FORM_TYPE):
        pairs += _pairs(body)
    form: dict[str, str] = {}
    for name, text in pairs:
        if name.startswith(SIGNATURE):
            continue
        if name in form:
            raise invalid_query(f"The parameter {name[:100]!r} came more than once. Send it once.")
        form[name] = text
    return form


def _pairs(text: bytes) -> list[tuple[str, str]]:
    if not text:
        return []
    if len(text) > FORM_BYTES_MAX:
        raise TooLarge(
            f"The parameters are {len(text)} bytes long, and at most {FORM_BYTES_MAX} are taken. "
            "Send fewer of them."
        )
    if text.count(b"&") >= PARAMETERS_MAX:
        raise TooLarge(f"More than {PARAMETERS_MAX} parameters came. Send fewer of them.")
    try:
        return parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest(
            "The parameters are not UTF-8 in percent-encoding. Encode them so.",
            code="MalformedQueryString",
        ) from error


def grow(form: Form) -> Tree:
    """The tree of a form's parameters; BadRequest where one is a value and has parts, too."""
    tree: Tree = {}
    for name, text in form.items():
        steps = name.split(".")
        if len(name) > NAME_CHARACTERS_MAX or len(steps) > STEPS_MAX:
            raise invalid_query(
                f"The parameter {name[:100]!r}… has a name of {len(name)} characters and "
                f"{len(steps)} steps; {NAME_CHARACTERS_MAX} and {STEPS_MAX} are taken."
            )
        node = tree
        for step in steps[:-1]:
            inner = node.setdefault(step, {})
            if isinstance(inner, str):
                raise _both(name)
            node = inner
        if steps[-1] in node:
            raise _both(name)
        node[steps[-1]] = text
    return tree


def _both(name: str) -> BadRequest:
    return invalid_query(
        f"The parameter {name[:100]!r} came as a value and with parts of its own. Send one of them."
    )


def invalid_query(message: str) -> BadRequest:
    """The error for a form that no operation could take."""
    return BadRequest(message, code="InvalidQueryParameter")
