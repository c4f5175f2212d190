"""What vendors claim of their chips, worked out again from the catalogue.

`python -m craton.silicon.claims` prints the page `docs/silicon-claims.md`. Each claim is quoted
with its source, computed from specifications where it can be, and judged: it follows, or it
doesn't, or public figures can't tell. What tokens take on each chip is the planner's word
(`token_costs`), and passed in: searching takes seconds, the rest none.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import Chip, PriceKind, Server
from craton.silicon.claims_tokens import token_blocks
from craton.silicon.comparison import EIGHT_BIT, native_rate
from craton.silicon.figure import Figure
from craton.silicon.power import HOURS_PER_YEAR, Site, load_site
from craton.silicon.precision import Precision
from craton.silicon.prices import RENTED, ChipHour, chip_hour
from craton.silicon.token_costs import TokenCost, token_costs

# What the claims are about, as they were made; what is computed from them is below.
COMMITMENT_KW = 2e6
COMMITMENT_YEARS = 8
COMMITMENTS_USD = (138e9, 100e9)
CHIPS_LANDED = 1.4e6
THROUGHPUT_GAIN = 3.0
"""Claimed tokens a second of one Trainium3 over one Trainium2, on gpt-oss."""
EFFICIENCY_GAIN = 4.0
PRICED = ("trainium1", "trainium2", "a100", "h100", "h200", "b200", "b300", "gb200")
GPUS = PRICED[2:]

LAUNCH = (
    "AWS on the launch of Trn3 UltraServers, 2025-12-02, as reported by"
    " https://buzzbytech.com/?p=9439 and"
    " https://thelettertwo.com/2025/12/02/aws-trainium3-ultraservers-trainium4-preview/"
)


class Verdict(StrEnum):
    """What the catalogue says of a claim."""

    FOLLOWS = "follows from the specifications"
    ROUNDED = "follows, rounded up"
    NOT_FROM_PEAK = "doesn't follow from the specifications"
    PARTLY = "holds for some of the comparisons"
    UNKNOWN = "can't be checked with public figures"


class Deal(msgspec.Struct, frozen=True):
    """A commitment of power and money, shared out over chips."""

    chips: float
    usd_chip_hour: float
    usd_kwh: float


def share_out(kw: float, usd: float, years: float, kw_chip: float) -> Deal:
    """How many chips a power feeds, and what each of their hours and kilowatt-hours is paid.

    `kw_chip` is one chip's power with everything that is counted as its own. All chips run from
    the first day to the last.
    """
    chips, hours = kw / kw_chip, years * HOURS_PER_YEAR
    return Deal(chips, usd / (chips * hours), usd / (kw * hours))


def page(catalogue: Catalogue, site: Site, costs: Sequence[TokenCost] = ()) -> str:
    """The whole page, as Markdown; without `costs` of tokens, all but what rests on them."""
    parts = [
        _HEAD,
        _chips_claim(catalogue),
        _compute_claim(catalogue),
        _bandwidth_claim(catalogue),
        _efficiency_claim(catalogue),
        _price_claim(catalogue, site, costs),
        _deal_claim(catalogue, site),
        _landed_claim(catalogue, site),
    ]
    return "\n".join(parts)


_HEAD = """\
# What vendors claim, worked out again

A vendor's figure is worth as much as what it rests on. Here are the claims that people repeat, each
computed from Craton's own catalogue (`craton chips show NAME` prints every figure with its source),
and which of them follows from specifications. "~" marks what rests on an estimate.

This page is generated: `python -m craton.silicon.claims`.
"""


_FILL = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)


def _claim(title: str, verdict: Verdict, source: str, *blocks: str) -> str:
    """One claim; a block is a table, a heading, or prose that is filled to the page's width."""
    told = f"**Verdict: {verdict}.** Claimed by {source}."
    filled = (
        block if block.startswith(("|", "#")) else _FILL.fill(block) for block in (told, *blocks)
    )
    return f"## {title}\n\n" + "\n\n".join(filled) + "\n"


def _chips_claim(catalogue: Catalogue) -> str:
    old, new = _ultraservers(catalogue)
    levels = ", ".join(
        f"{level.chips} chips at {level.gb_s.value:g} GB/s" for level in new.links if level.chips
    )
    return _claim(
        f'"{new.chips} chips" in one UltraServer',
        Verdict.FOLLOWS,
        LAUNCH,
        f"The Trn3 Gen2 UltraServer has {new.chips} Trainium3 chips in 36 servers of 4, the Trn2"
        f" UltraServer {old.chips} Trainium2. They are one scale-up domain, but not of one speed:"
        f" a chip reaches {levels}. There is a smaller one, too: Gen1 has"
        f" {catalogue.server('trn3-gen1-ultraserver').chips} chips.",
    )


def _compute_claim(catalogue: Catalogue) -> str:
    old, new = _ultraservers(catalogue)
    one, other = catalogue.chip(old.chip), catalogue.chip(new.chip)
    old_rate, new_rate = _eight_bit(one).value, _eight_bit(other).value
    old_wide, new_wide = one.tflops[Precision.BF16].value, other.tflops[Precision.BF16].value
    rows = (
        ("FP8 (MXFP8), one chip", old_rate, new_rate, " TFLOPS"),
        ("FP8 (MXFP8), UltraServer", old_rate * old.chips, new_rate * new.chips, " TFLOPS"),
        ("BF16, one chip", old_wide, new_wide, " TFLOPS"),
        ("BF16, UltraServer", old_wide * old.chips, new_wide * new.chips, " TFLOPS"),
        ("chips", old.chips, new.chips, ""),
    )
    return _claim(
        '"4.4x compute" per UltraServer',
        Verdict.FOLLOWS,
        LAUNCH,
        _generations(rows),
        f"So 4.4x is the dense 8-bit peak of {new.chips} chips against that of {old.chips}: more"
        f" chips give {new.chips / old.chips:.2f}x, better chips {new_rate / old_rate:.2f}x. In"
        f" BF16 a Trainium3 has {new_wide / old_wide:.2f}x the peak of a Trainium2, and nearly all"
        " the gain is in the count.",
    )


def _bandwidth_claim(catalogue: Catalogue) -> str:
    old, new = _ultraservers(catalogue)
    one, other = catalogue.chip(old.chip).memory_tb_s, catalogue.chip(new.chip).memory_tb_s
    rows = (
        ("memory bandwidth, one chip", one.value, other.value, " TB/s"),
        ("memory bandwidth, UltraServer", one.value * old.chips, other.value * new.chips, " TB/s"),
    )
    return _claim(
        '"Nearly 4x memory bandwidth" per UltraServer',
        Verdict.ROUNDED,
        LAUNCH,
        _generations(rows),
    )


def _efficiency_claim(catalogue: Catalogue) -> str:
    old, new = _ultraservers(catalogue)
    one, other = catalogue.chip(old.chip), catalogue.chip(new.chip)
    old_w, new_w = _power(one).value, _power(other).value
    gain = _eight_bit(other).value / _eight_bit(one).value
    needed, observed = gain / EFFICIENCY_GAIN, THROUGHPUT_GAIN / EFFICIENCY_GAIN
    return _claim(
        '"4x energy efficiency"',
        Verdict.NOT_FROM_PEAK,
        LAUNCH,
        "AWS publishes neither chip's power. The best estimates are"
        f" ~{old_w:,g} W for a Trainium2 ({_power(one).source}) and ~{new_w:,g} W for a Trainium3"
        f" ({_power(other).source}). With them the 8-bit peak per watt is"
        f" **~{gain / (new_w / old_w):.2f}x**.",
        f"For {EFFICIENCY_GAIN:g}x, at {gain:.2f}x the peak, a Trainium3 would have to draw"
        f" {needed:.2f} of a Trainium2's power, ~{needed * old_w:.0f} W; at the"
        f" {THROUGHPUT_GAIN:g}x throughput that is claimed for one chip on gpt-oss,"
        f" {observed:.2f} of it, ~{observed * old_w:.0f} W. So the claim is about a workload in"
        " which the older chip reaches less of its peak. Other reports of the same launch say 40%"
        " better (https://thelettertwo.com/2025/12/02/aws-trainium3-ultraservers-trainium4-preview/).",
    )


def _price_claim(catalogue: Catalogue, site: Site, costs: Sequence[TokenCost]) -> str:
    offers = list(_offers(catalogue, site))
    peaks = {
        chip.name: _Peaks(
            eight_bit=offer.usd / _eight_bit(chip).value * 1000,
            wide=offer.usd / chip.tflops[Precision.BF16].value * 1000,
            bandwidth=offer.usd / chip.memory_tb_s.value,
        )
        for chip, offer in offers
    }
    table = [
        "| chip | $/chip-hour | terms, read | $/PFLOP-hour, 8 bit | BF16 | $/(TB/s)-hour | saves |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for chip, offer in offers:
        own = peaks[chip.name]
        saves = _savings(peaks["trainium2"], own) if chip.name in GPUS else ""
        table.append(
            f"| {chip.name} | {offer.usd:.3f} | {offer.kind}, {offer.read} | {own.eight_bit:.2f}"
            f" | {own.wide:.2f} | {own.bandwidth:.2f} | {saves} |"
        )
    return _claim(
        '"Up to 50% cheaper than GPUs"',
        Verdict.PARTLY,
        "AWS of Trainium, as reported by https://skynetcountdown.com/news/2026-03-22",
        "\n".join(table),
        "8 bit is FP8, or INT8 for a chip without it. The last column is what a Trainium2 saves on"
        " 8-bit compute, BF16 compute and memory bandwidth: the same peak under the same terms.",
        'So "up to 50%" is true of some peaks and some GPUs. Peak isn\'t tokens: what a model gets'
        " of it differs by chip and load, and by software. Trainium3 has no published price, so the"
        " claim can't be checked for it.",
        *token_blocks(catalogue, site, costs),
    )


class _Peaks(NamedTuple):
    """Dollars for an hour of a chip's peaks: of a PFLOPS, and of 1 TB/s of memory."""

    eight_bit: float
    wide: float
    bandwidth: float


def _savings(own: _Peaks, other: _Peaks) -> str:
    return ", ".join(f"{1 - mine / theirs:.0%}" for mine, theirs in zip(own, other, strict=True))


def _deal_claim(catalogue: Catalogue, site: Site) -> str:
    old, new = _ultraservers(catalogue)
    alone_kw = _power(catalogue.chip(new.chip)).value / 1000
    cases = [("Trainium3, the chip's power alone", alone_kw)]
    for title, server in (("Trainium3", new), ("Trainium2", old)):
        host, pue = 1 + _host(server, site).value, site.pue.value
        cases.append(
            (
                f"{title} with host and network (x{host:g}) and PUE {pue:g}",
                _all_in_kw(catalogue, server, site),
            )
        )
    table = [
        "| the 2 GW are of | ~kW a chip | ~chips | ~$/chip-hour at $138B | ~at $100B |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, kw_chip in cases:
        deals = [
            share_out(COMMITMENT_KW, usd, COMMITMENT_YEARS, kw_chip) for usd in COMMITMENTS_USD
        ]
        prices = " | ".join(f"{deal.usd_chip_hour:.2f}" for deal in deals)
        table.append(f"| {name} | {kw_chip:.3f} | {deals[0].chips / 1e6:.2f} million | {prices} |")
    per_kwh = [
        share_out(COMMITMENT_KW, usd, COMMITMENT_YEARS, 1).usd_kwh for usd in COMMITMENTS_USD
    ]
    shares = " and ".join(f"{100 * site.usd_kwh.value / price:.0f}%" for price in per_kwh)
    chip = catalogue.chip(old.chip)
    block = chip_hour(chip, catalogue.servers_of(chip), site, (PriceKind.CAPACITY_BLOCK,))
    assert block is not None, "Trainium2 is offered as a capacity block"
    return _claim(
        '"2 GW over 8 years for $138B"',
        Verdict.UNKNOWN,
        "OpenAI and AWS, as reported by"
        " https://getaibook.com/news/amazon-wins-openai-deal-for-2gw-of-trainium",
        "$138B is the $38B of November 2025 (GB200 and GB300) and the $100B that followed (2 GW of"
        ' Trainium3 and later); the report can also be read as "to $100B". Assumed: the 2 GW are at'
        " the wall, all chips draw their peak from the first day to the last, over"
        f" {COMMITMENT_YEARS * HOURS_PER_YEAR:,} hours, and nothing is discounted. A ramp, or chips"
        " that idle, make an hour dearer.",
        "\n".join(table),
        f"Whatever the chip, that is {per_kwh[0]:.3f} $/kWh at $138B and {per_kwh[1]:.3f} at $100B."
        f" At {site.usd_kwh.value:g} $/kWh, what industry pays, energy is {shares} of it; chips,"
        f" buildings and margin are the rest. A Trainium2 in a capacity block was"
        f" {block.usd:.3f} $/chip-hour on {block.read}.",
    )


def _all_in_kw(catalogue: Catalogue, server: Server, site: Site) -> float:
    """Of one chip at its peak, with its host and its share of the building."""
    chip_kw = _power(catalogue.chip(server.chip)).value / 1000
    return chip_kw * (1 + _host(server, site).value) * site.pue.value


def _landed_claim(catalogue: Catalogue, site: Site) -> str:
    old, new = _ultraservers(catalogue)
    chip = catalogue.chip(old.chip)
    fed = COMMITMENT_KW / _all_in_kw(catalogue, new, site)
    return _claim(
        '"1.4 million chips"',
        Verdict.UNKNOWN,
        "Amazon's results for Q4 2025, of Trainium2 alone (quoted by"
        " https://github.com/epoch-research/ai-chip-counts, trainium_estimates.ipynb)",
        "Reports of a visit in March 2026 give the same number for all three generations"
        " (https://gentic.news/article/aws-commits-2-gigawatts-of-trainium-capacity-to-openai-reveals-1-4-million-chips);"
        " the two don't agree.",
        f"If all are Trainium2, they have {CHIPS_LANDED * _eight_bit(chip).value / 1e9:.2f} ZFLOPS"
        f" of dense FP8 and draw ~{CHIPS_LANDED * _power(chip).value / 1e6:,.0f} MW as chips,"
        f" ~{CHIPS_LANDED * _all_in_kw(catalogue, old, site) / 1e3:,.0f} MW at the wall with host,"
        " network and PUE. It is by chance that 2 GW feed as many Trainium3:"
        f" ~{fed / 1e6:.2f} million.",
    )


def _ultraservers(catalogue: Catalogue) -> tuple[Server, Server]:
    return catalogue.server("trn2-ultraserver"), catalogue.server("trn3-gen2-ultraserver")


def _generations(rows: Sequence[tuple[str, float, float, str]]) -> str:
    lines = [
        f"| {name} | {old:,.6g}{unit} | {new:,.6g}{unit} | **{new / old:.2f}x** |"
        for name, old, new, unit in rows
    ]
    return "\n".join(("| | Trainium2 | Trainium3 | ratio |", "|---|---:|---:|---:|", *lines))


def _eight_bit(chip: Chip) -> Figure:
    """The fastest 8-bit rate: FP8, or INT8 for the chips that came before it."""
    figure = native_rate(chip, (*EIGHT_BIT, Precision.INT8))
    assert figure is not None, f"{chip.name} has an 8-bit rate"
    return figure


def _power(chip: Chip) -> Figure:
    assert chip.power_w is not None, f"the power of {chip.name} is known or estimated"
    return chip.power_w


def _host(server: Server, site: Site) -> Figure:
    return server.host_share or site.host_share


def _offers(catalogue: Catalogue, site: Site) -> Iterator[tuple[Chip, ChipHour]]:
    for name in PRICED:
        chip = catalogue.chip(name)
        offer = chip_hour(chip, catalogue.servers_of(chip), site, RENTED)
        if offer is not None:
            yield chip, offer


def main() -> None:
    """Print the page."""
    catalogue, site = load_catalogue(), load_site()
    sys.stdout.write(page(catalogue, site, list(token_costs(catalogue, site))))


if __name__ == "__main__":
    main()
