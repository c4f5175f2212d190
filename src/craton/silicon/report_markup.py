"""HTML and SVG as values: text is escaped where it enters, so nothing in a name becomes markup."""

from html import escape


class Markup(str):
    """Text that is markup already and is written as it is."""

    __slots__ = ()


NOTHING = Markup("")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """One element. Children that aren't `Markup` are escaped; attributes that are None left out.

    An underscore in an attribute's name stands for a hyphen; a last one is dropped (`class_`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Parts after one another, those that aren't `Markup` escaped."""
    return Markup("".join(p if isinstance(p, Markup) else escape(p, quote=False) for p in parts))


def table(
    heads: tuple[str, ...],
    rows: list[tuple[str, ...]],
    *,
    caption: str,
    numeric: frozenset[int] = frozenset(),
) -> Markup:
    """A table whose first column names the row; `numeric` columns are set to the right."""

    def cell(column: int, text: str) -> Markup:
        kind = "number" if column in numeric else None
        if column == 0:
            return tag("th", text, scope="row", class_=kind)
        return tag("td", text, class_=kind)

    head = (
        tag("th", text, scope="col", class_="number" if column in numeric else None)
        for column, text in enumerate(heads)
    )
    body = (tag("tr", *(cell(column, text) for column, text in enumerate(row))) for row in rows)
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *head)),
            tag("tbody", *body),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _attribute(value: object) -> str:
    """Coordinates to a tenth of a pixel: a page of them stays small."""
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
