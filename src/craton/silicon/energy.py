"""What serving burns: joules a token and watts a chip, of the accelerators alone.

The energy of a step is a sum: each thing the step does (`energy_terms`) takes a time at the chip's
specification, and a fitted factor says how many milliseconds at full board power (TDP) it costs.
Fitting energy itself, and not time and power apart, is what makes it hold: a chip that waits takes
longer and burns less. Power is an idle share and two saturating ones, of how busy memory and
multipliers are. Where tokens a second were measured, energy is also power times time, and both
estimates are weighed by how uncertain they are. Coefficients and residuals: `fits/energy.toml`,
written by `benchmarks/silicon/fit_energy.py`.
"""

import math
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from craton.kernel.errors import BadRequest, Unsupported
from craton.silicon.architecture import Architecture, Experts
from craton.silicon.case import ServingCase
from craton.silicon.chip import Chip
from craton.silicon.energy_terms import Prompts, StepTerms, step_terms
from craton.silicon.estimate import Estimate, Provenance

Z_80 = 1.2816
"""Standard deviations from the mean to the edge of the middle 80 % of a normal distribution."""


class PowerFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Power as a share of TDP: an idle share, and saturating ones of two utilisations."""

    idle: dict[str, float]
    """By chip; "" is any other."""
    several: float
    """Added where chips talk to each other."""
    memory: float
    memory_half: float
    """Utilisation of memory that costs half of `memory`."""
    compute: float
    compute_half: float
    spread: float
    """Standard deviation of the natural logarithm of measured over predicted."""
    step_spread: float
    """The same of the time of a step that energy and power imply."""
    error: float
    """Mean absolute relative error given measured tokens a second, leave one model out."""


class EnergyFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored fit."""

    source: str
    fitted: date
    rows: int
    error: float
    """Mean absolute relative error of joules a token, leave one model out."""
    spread: float
    """80 % of measured energies lie within this natural logarithm of the prediction, times the
    `uncertainty` of the model."""
    spread_elsewhere: float
    """The same on a chip no row of which was seen, leave one chip out."""
    terms: dict[str, float]
    """Milliseconds at TDP a unit of each term costs on any chip."""
    chips: dict[str, dict[str, float]]
    """The same on the chips that were measured."""
    kin: dict[str, str]
    """Chips of the same silicon as a measured one."""
    power: PowerFit
    prompts: Prompts


class EnergyEstimate(msgspec.Struct, frozen=True):
    """Energy of the accelerators alone; hosts, network and cooling come on top."""

    joules_token: Estimate
    """For each output token, prompts included."""
    watts_chip: Estimate
    """Mean over the run."""


@cache
def load_energy_fit() -> EnergyFit:
    """The fit that comes with Craton."""
    text = files("craton.silicon").joinpath("fits", "energy.toml").read_bytes()
    return msgspec.toml.decode(text, type=EnergyFit)


def estimate_energy(
    case: ServingCase, tokens_s: Estimate | None = None, fit: EnergyFit | None = None
) -> EnergyEstimate:
    """Joules a token and watts a chip of a set-up.

    `tokens_s` is what all its chips put out. Measured, it sharpens both; estimated, it is weighed
    against the time of a step that energy and power imply, and only moves the watts. Raises
    BadRequest without a concurrency, Unsupported where nobody publishes the chip's power.
    """
    fit = fit or load_energy_fit()
    chip = case.chip.name
    board = _board_watts(case.chip)
    terms = step_terms(case, fit.prompts)
    pool = _pool(case, terms)
    several = (case.decode.layout if case.decode else case.layout).chips > 1
    energy_ms = step_energy_ms(terms, chip, fit)
    doubt = fit.spread if _kin(chip, fit) else fit.spread_elsewhere
    doubt *= uncertainty(case.architecture) / Z_80
    step_ms = implied_step_ms(terms, energy_ms, chip, fit, several=several)
    step_doubt = fit.power.step_spread
    if tokens_s is not None:
        given_ms = pool.sequences / tokens_s.value * 1e3
        if tokens_s.provenance is Provenance.MEASURED:
            step_ms, step_doubt = given_ms, 0.0
        else:
            # An estimate of time rests on what this one rests on, and tells energy nothing new.
            given_doubt = math.log(tokens_s.high / tokens_s.low) / (2.0 * Z_80)
            given_doubt = max(given_doubt, fit.power.step_spread)
            step_ms, step_doubt = blend((step_ms, step_doubt), (given_ms, given_doubt))
    share = step_power(terms, step_ms, chip, fit, several=several)
    share_doubt = math.hypot(fit.power.spread, _WEAKENS * step_doubt)
    if step_doubt == 0.0:
        energy_ms, doubt = blend((energy_ms, doubt), (share * step_ms, fit.power.spread))
        share, share_doubt = energy_ms / step_ms, doubt
    # Chips that only prefill stand idle for a decode step whose prompts are counted with it.
    idle_ms = pool.others * fit.power.idle.get(_kin(chip, fit) or "", fit.power.idle[""]) * step_ms
    joules = (energy_ms * pool.chips + idle_ms) * 1e-3 * board / pool.sequences
    watts = min(share, 1.0) * board
    provenance = Provenance.FITTED if chip in fit.chips else Provenance.SPEC_EXTRAPOLATED
    around = _around(watts, share_doubt, provenance)
    return EnergyEstimate(
        joules_token=_around(joules, doubt, provenance),
        watts_chip=msgspec.structs.replace(around, high=min(around.high, board)),
    )


_WEAKENS = 0.6
"""Share of a longer step's time that shows as lower power; the rest is energy."""


def uncertainty(architecture: Architecture) -> float:
    """How uncertain a model's energy is against a dense one's: routers are not seen."""
    mixed = any(isinstance(group.feed_forward, Experts) for group in architecture.groups)
    return 2.0 if mixed else 1.0


def step_energy_ms(terms: StepTerms, chip: str, fit: EnergyFit) -> float:
    """Energy of one step on one chip, in milliseconds at its TDP."""
    factors = fit.chips.get(_kin(chip, fit) or "", fit.terms)
    return sum(factor * getattr(terms, name) for name, factor in factors.items())


def power_share(
    fit: EnergyFit, chip: str, *, memory: float, compute: float, several: bool
) -> float:
    """Power as a share of TDP of a chip whose memory and multipliers are so busy (0 to 1)."""
    power = fit.power
    share = power.idle.get(_kin(chip, fit) or "", power.idle[""])
    share += power.several * several
    share += power.memory * memory / (memory + power.memory_half)
    share += power.compute * compute / (compute + power.compute_half)
    return min(max(share, 0.0), 1.0)


def step_power(
    terms: StepTerms, step_ms: float, chip: str, fit: EnergyFit, *, several: bool
) -> float:
    """Power as a share of TDP while steps take `step_ms`; `several` chips hold a replica."""
    reading = terms.dense_ms + terms.experts_ms + terms.spread_experts_ms + terms.packed_experts_ms
    reading += terms.cache_ms + terms.activations_ms
    return power_share(
        fit,
        chip,
        memory=reading / step_ms,
        compute=(terms.multiply_ms + terms.prompt_ms) / step_ms,
        several=several,
    )


def training_watts(
    chip: Chip, mfu: float, *, memory: float = 0.3, fit: EnergyFit | None = None
) -> Estimate:
    """Watts a chip in training at a model FLOPs utilisation; Unsupported without a TDP.

    An extrapolation: the power fitted on serving, at the utilisation of training's multipliers.
    That of its memory is assumed unless given.
    """
    if not 0.0 <= mfu <= 1.0:
        raise BadRequest(f"mfu is {mfu}; it lies between 0 and 1")
    fit = fit or load_energy_fit()
    board = _board_watts(chip)
    share = power_share(fit, chip.name, memory=memory, compute=mfu, several=True)
    around = _around(share * board, fit.power.spread, Provenance.SPEC_EXTRAPOLATED)
    return msgspec.structs.replace(around, high=min(around.high, board))


class _Pool(msgspec.Struct, frozen=True):
    """The chips that decode, those that only prefill, and the sequences in flight."""

    chips: int
    others: int
    sequences: float


def _pool(case: ServingCase, terms: StepTerms) -> _Pool:
    sequences = terms.sequences_root**2
    if case.decode:
        layout = case.decode.layout
        chips = case.decode.workers * layout.chips
        others = case.prefill.workers * case.prefill.layout.chips if case.prefill else 0
        return _Pool(chips, others, sequences * layout.data * case.decode.workers)
    replicas = max(case.chips // case.layout.chips, 1)
    return _Pool(replicas * case.layout.chips, 0, sequences * case.layout.data * replicas)


def implied_step_ms(
    terms: StepTerms, energy_ms: float, chip: str, fit: EnergyFit, *, several: bool
) -> float:
    """The time over which the power of a step adds up to its energy, by halving an interval."""
    shortest, longest = energy_ms, energy_ms * 50.0
    for _ in range(50):
        middle = (shortest + longest) / 2.0
        if step_power(terms, middle, chip, fit, several=several) * middle < energy_ms:
            shortest = middle
        else:
            longest = middle
    return longest


def blend(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Two estimates with the standard deviations of their logarithms, as one."""
    (first, first_doubt), (second, second_doubt) = one, other
    weights = 1.0 / first_doubt**2, 1.0 / second_doubt**2
    mean = (weights[0] * math.log(first) + weights[1] * math.log(second)) / sum(weights)
    # Both rest on the same terms and the same rows, so together they know less than two
    # independent ones would; a third of the way there holds what it should of the measured rows.
    independent = 1.0 / math.sqrt(sum(weights))
    return math.exp(mean), (independent + 2.0 * min(first_doubt, second_doubt)) / 3.0


def _around(value: float, doubt: float, provenance: Provenance) -> Estimate:
    apart = math.exp(Z_80 * doubt)
    return Estimate(value, value / apart, value * apart, provenance)


def _kin(chip: str, fit: EnergyFit) -> str | None:
    """The measured chip whose coefficients hold for this one."""
    name = fit.kin.get(chip, chip)
    return name if name in fit.chips else None


def _board_watts(chip: Chip) -> float:
    if chip.power_w is None:
        raise Unsupported(
            f"nobody publishes the power of {chip.name}; give 'power_w' in a chip file to estimate"
            " energy"
        )
    return chip.power_w.value
