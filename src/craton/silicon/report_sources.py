"""What an answer rests on: the question in full, the figures of the chips, what intervals mean."""

import re
from collections.abc import Iterator, Sequence

from craton.silicon.chip import Chip, Server
from craton.silicon.estimate import Provenance
from craton.silicon.figure import Figure
from craton.silicon.quote import Quote, ServingJob
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_text import count, number, provenance

_URL = re.compile(r"https?://[^\s<>\"')]+")

_MEANS = {
    Provenance.MEASURED: "this very set-up was measured",
    Provenance.FITTED: "coefficients of this chip and its software were fitted to measurements",
    Provenance.SPEC_EXTRAPOLATED: (
        "the chip's specification, with coefficients of other chips; its interval is wider"
    ),
}


def assumptions(quote: Quote) -> Markup:
    """The job as it was understood, and how to read the figures."""
    found = [
        tag("div", tag("dt", name), tag("dd", text))
        for name, text in [*_model(quote), *_job(quote), *_reading(quote)]
    ]
    return tag("section", tag("h2", "Assumptions"), tag("dl", *found), id="assumptions")


def _model(quote: Quote) -> Iterator[tuple[str, str]]:
    architecture = quote.job.architecture
    parameters, active = architecture.parameters(), architecture.active_parameters()
    sparse = parameters > 1.5 * active
    yield (
        "Model",
        f"{architecture.name}: {architecture.layers} layers, {count(parameters)} parameters"
        + (f", of which a token meets {count(active)}" if sparse else ""),
    )


def _job(quote: Quote) -> Iterator[tuple[str, str]]:
    job = quote.job
    if isinstance(job, ServingJob):
        formats = job.formats
        yield (
            "Formats",
            ", ".join(
                f"{name} {getattr(formats, name)}"
                for name in ("weights", "experts", "cache", "output", "activations")
            ),
        )
        yield "Prompt found in the prefix cache", f"{100 * job.cached_fraction:.0f} %"
        yield "Software", job.framework or "none named: coefficients over all of them"
        yield (
            "Prefill and decode apart",
            "tried as well" if job.disaggregated else "not tried, as asked",
        )
    else:
        yield "Precision", job.precision
    kinds = sorted({plan.price_kind for plan in quote.plans if plan.price_kind is not None})
    if kinds:
        yield "Prices", f"{', '.join(kinds)}; sources and dates below"


def _reading(quote: Quote) -> Iterator[tuple[str, str]]:
    yield "Intervals", "hold the truth in 80 % of cases, from errors against measured rows"
    for rests_on in sorted({provenance(plan) for plan in quote.plans}):
        yield f"Rests on “{rests_on}”", _MEANS[rests_on]
    yield "Quote", f"{quote.id}: a digest of the job, the catalogue, the prices and the fits"


def sources(quote: Quote, chips: dict[str, Chip], servers: dict[str, Server]) -> Markup:
    """Each figure of the chips and servers that have a plan, with where it was read."""
    shown = dict.fromkeys(plan.chip for plan in quote.plans)
    hosts = dict.fromkeys(plan.server for plan in quote.plans if plan.server is not None)
    tables = [
        _table(chips[name].title, _chip_figures(chips[name])) for name in shown if name in chips
    ]
    tables += [
        _table(servers[name].title, _server_figures(servers[name]))
        for name in hosts
        if name in servers
    ]
    if not tables:
        return NOTHING
    return tag("section", tag("h2", "Sources"), *tables, id="sources")


def _chip_figures(chip: Chip) -> Iterator[tuple[str, str, Figure | None]]:
    for precision, figure in chip.tflops.items():
        yield f"Peak {precision}", "TFLOP/s", figure
    yield "Memory", "GiB", chip.memory_gib
    yield "Memory bandwidth", "TB/s", chip.memory_tb_s
    for level in chip.links:
        yield f"Links: {level.name}", "GB/s one way", level.gb_s
        yield f"Latency: {level.name}", "µs", level.latency_us
    yield "Power", "W", chip.power_w
    yield "Idle power", "W", chip.idle_w
    yield "Purchase", "$", chip.capex_usd


def _server_figures(server: Server) -> Iterator[tuple[str, str, Figure | None]]:
    for price in server.prices:
        yield f"Price, {price.kind}", "$ an hour", price.usd_hour
    yield "Host power over the chips' own", "", server.host_share
    yield "Power", "kW", server.power_kw
    for level in server.links:
        yield f"Links: {level.name}", "GB/s one way", level.gb_s


def _table(title: str, figures: Iterator[tuple[str, str, Figure | None]]) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{number(figure.value, 5)} {unit}".strip(),
            _linked(figure.source),
            "" if figure.read is None else figure.read.isoformat(),
            "estimate" if figure.estimate else "",
        )
        for name, unit, figure in figures
        if figure is not None
    ]
    heads = ("Figure", "Value", "Source", "Read", "")
    return tag(
        "details",
        tag("summary", title),
        table(heads, rows, caption=title, numeric=frozenset({1})),
    )


def _linked(source: str) -> Markup:
    """The source with its addresses as links; nothing is fetched unless a reader follows one."""
    parts: list[str] = []
    at = 0
    for match in _URL.finditer(source):
        parts += [source[at : match.start()], tag("a", match[0], href=match[0], rel="noreferrer")]
        at = match.end()
    return join(*parts, source[at:])


def warnings(texts: Sequence[str]) -> Markup:
    """What the reader has to know before trusting a figure."""
    if not texts:
        return NOTHING
    listed = tag("ul", *(tag("li", text) for text in texts))
    return tag("aside", tag("h2", "Take note"), listed, class_="warnings", role="note")
