"""Chip files of what was measured: they read as they were written, and say where all is from."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

from craton.kernel.errors import BadRequest, Conflict
from craton.silicon.calibrate import DeviceSamples, Samples
from craton.silicon.calibrate_file import (
    REPORTED,
    SOURCE,
    Loopback,
    Machine,
    accelerator_chip,
    check_name,
    chip_text,
    processor_chip,
    write_chip,
)
from craton.silicon.catalogue import load_catalogue
from craton.silicon.chip import Chip, Topology
from craton.silicon.chip_file import figures_of, read_chip_file
from craton.silicon.figure import Figure
from craton.silicon.precision import Precision
from craton.silicon.processor_rates import EngineRates

DAY = date(2026, 3, 4)
LOOPBACK = Loopback(gb_s=Samples((3.0, 4.0, 5.0)), latency_us=Samples((20.0, 30.0, 40.0)))


def samples(tflops: float, tb_s: float) -> DeviceSamples:
    return DeviceSamples(
        {Precision.FP32: Samples((tflops * 0.9, tflops, tflops * 1.2))},
        Samples((tb_s,)),
        Samples((1.5,)),
    )


def rates() -> EngineRates:
    figure = Figure(1.25, SOURCE, DAY, note="fitted")
    return EngineRates(
        software="llama.cpp",
        model='a "quoted" name\twith \x7f and é',
        weights=Precision.INT4,
        threads=2,
        step_tokens=64,
        slots=32,
        pool_tokens=20480,
        stored=figure,
        multiply_tflops=figure,
        read_tb_s=figure,
        prefill_attention_tflops=figure,
        decode_attention_tflops=figure,
        sequence_us=figure,
        spread=0.1,
    )


def processor(name: str = "cpu", *, network_gb_s: float | None = 12.5) -> Chip:
    return processor_chip(
        name,
        Machine("EPYC, 4 cores", 64 << 30, power_w=120.0, network_gb_s=network_gb_s),
        by_threads={1: samples(0.1, 0.02), 2: samples(0.2, 0.05), 4: samples(0.4, 0.04)},
        loopback=LOOPBACK,
        engine=rates(),
        read=DAY,
    )


def test_a_chip_file_reads_as_it_was_written() -> None:
    for chip in (processor(), processor("mine", network_gb_s=None)):
        assert read_chip_file("x.toml", chip_text(chip)) == [chip]


def test_every_figure_says_that_it_was_measured_here_when_and_how_far_it_spread() -> None:
    figures = dict(figures_of(processor()))
    assert {figure.source for figure in figures.values()} == {SOURCE, REPORTED}
    assert {figure.read for figure in figures.values()} == {DAY}
    assert all(figure.note for figure in figures.values())
    assert figures["tflops.fp32"].note == "4 threads; median of 3, from 0.36 to 0.48 TFLOPS"


def test_the_processor_multiplies_on_all_threads_and_copies_on_as_many_as_copy_best() -> None:
    chip = processor()
    assert chip.tflops[Precision.FP32].value == 0.4
    assert chip.memory_tb_s.value == 0.05
    assert "2 threads" in chip.memory_tb_s.note
    assert "0.1 on 1, 0.2 on 2, 0.4 on 4" in chip.notes


def test_the_measured_processor_takes_the_place_of_the_one_to_measure(tmp_path: Path) -> None:
    path = write_chip(processor(), tmp_path / "chips", is_replacing=False)
    assert path == tmp_path / "chips" / "cpu.toml"
    catalogue = load_catalogue(tmp_path / "chips")
    assert catalogue.chip("generic cpu").memory_gib.value == 64.0
    assert "cpu" not in catalogue.unmeasured


def test_a_file_that_is_there_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    write_chip(processor(), tmp_path, is_replacing=False)
    other = msgspec.structs.replace(processor(), title="Another")
    with pytest.raises(Conflict, match="--force"):
        write_chip(other, tmp_path, is_replacing=False)
    assert load_catalogue(tmp_path).chip("cpu").title == "EPYC, 4 cores"
    write_chip(other, tmp_path, is_replacing=True)
    assert load_catalogue(tmp_path).chip("cpu").title == "Another"
    assert [path.name for path in tmp_path.iterdir()] == ["cpu.toml"]


def test_a_network_that_tells_no_rate_is_an_estimate_from_within_the_machine() -> None:
    told = processor().links[-1]
    assert (told.gb_s.value, told.gb_s.estimate) == (12.5, False)
    untold = processor(network_gb_s=None).links[-1]
    assert (untold.gb_s.value, untold.gb_s.estimate) == (4.0, True)
    assert "upper bound" in untold.gb_s.note
    assert (untold.latency_us.value, untold.latency_us.estimate) == (30.0, True)


def test_chips_that_reach_each_other_have_a_level_of_their_own() -> None:
    machine = Machine("NVIDIA H200", 141 << 30)
    alone = accelerator_chip(
        "h200-x", machine, samples=samples(700, 4), between=None, loopback=LOOPBACK, read=DAY
    )
    eight = accelerator_chip(
        "h200-x",
        machine,
        samples=samples(700, 4),
        between=(8, Samples((400.0,)), Samples((3.0,))),
        loopback=LOOPBACK,
        read=DAY,
    )
    assert [level.topology for level in alone.links] == [Topology.NETWORK]
    inner = eight.links[0]
    assert (inner.topology, inner.chips, inner.gb_s.value) == (Topology.ALL_TO_ALL, 8, 400.0)
    assert read_chip_file("x.toml", chip_text(eight)) == [eight]


@pytest.mark.parametrize("name", ["h100", "trainium3"])
def test_a_bundled_chip_keeps_the_figures_of_its_maker(name: str) -> None:
    with pytest.raises(BadRequest, match=f"{name}-measured"):
        check_name(name)


@pytest.mark.parametrize("name", ["", "../cpu", "My CPU", ".hidden", "a/b", "x" * 65])
def test_a_name_that_cant_be_a_files_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="can't be called"):
        check_name(name)


def test_the_processor_and_names_of_ones_own_are_fine() -> None:
    for name in ("cpu", "rack-7.cpu", "nvidia-h200-measured"):
        check_name(name)
