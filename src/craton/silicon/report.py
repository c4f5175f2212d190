"""The report of a quote: one page that holds everything it shows and fetches nothing.

A reader in a hurry stops after the first screen: the answer, its figures, how sure they are. What
follows is the evidence, down to the source of each figure.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from craton.silicon.chip import Chip, Server
from craton.silicon.quote import Quote, ServingJob
from craton.silicon.report_answer import answer, plans
from craton.silicon.report_bars import intervals, memory, timeline
from craton.silicon.report_front import front
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_roofline import roofline
from craton.silicon.report_sources import assumptions, sources, warnings
from craton.silicon.report_text import losses, question, tried_in_short

_FILES = Path(__file__).parent / "report_files"

# The page may run its own style and script and load nothing at all.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(quote: Quote, chips: Sequence[Chip], servers: Sequence[Server], *, day: date) -> str:
    """One self-contained HTML page of a quote made on `day`.

    `chips` and `servers` are those the plans name; what is missing among them is left out of the
    charts and the sources.
    """
    known = {chip.name: chip for chip in chips}
    hosts = {server.name: server for server in servers}
    verb = "Serving" if isinstance(quote.job, ServingJob) else "Training"
    title = f"{verb} {quote.job.architecture.name}"
    body = tag(
        "main",
        tag("header", tag("h1", title), tag("p", f"{question(quote.job)}.", class_="question")),
        answer(quote, known),
        warnings(quote.warnings),
        front(quote),
        *_ranked(quote, known),
        *_anatomy(quote, known),
        _lost(quote),
        assumptions(quote),
        sources(quote, known, hosts),
        tag("footer", f"Made by Craton on {day.isoformat()}. Quote {quote.id}."),
    )
    return "<!doctype html>\n" + tag("html", _head(title), tag("body", body, _script()), lang="en")


def _head(title: str) -> Markup:
    style = (_FILES / "report.css").read_text(encoding="utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )


def _script() -> Markup:
    return tag("script", Markup((_FILES / "report.js").read_text(encoding="utf-8")))


def _ranked(quote: Quote, chips: dict[str, Chip]) -> list[Markup]:
    if not quote.plans:
        return []
    return [
        tag(
            "section",
            tag("h2", "Plans"),
            intervals(quote),
            plans(quote, chips),
            id="plans",
        )
    ]


def _anatomy(quote: Quote, chips: dict[str, Chip]) -> list[Markup]:
    """The best plan, taken apart."""
    if not quote.plans:
        return []
    best = quote.plans[0]
    chip = chips.get(best.chip)
    return [timeline(best), roofline(best, chip), memory(best, chip)]


def _lost(quote: Quote) -> Markup:
    found = losses(quote)
    if not found:
        return NOTHING
    rows: list[tuple[str, ...]] = [
        (loss.chip, tried_in_short(loss), join(loss.reason)) for loss in found
    ]
    return tag(
        "section",
        tag("h2", "What lost, and why"),
        table(("Chip", "Tried", "Why it lost"), rows, caption="Refused, by chip and reason"),
        id="lost",
    )
