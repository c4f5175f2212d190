import re

from craton.kernel.metrics import Metrics, exposition

LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\} (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')

Sample = tuple[str, frozenset[tuple[str, str]]]


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def parsed(text: str) -> tuple[dict[str, str], dict[Sample, float]]:
    """Kinds by family and values by sample; fails on what Prometheus' text format doesn't allow."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    samples: dict[Sample, float] = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in kinds, "a family's lines stand together, once"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in ("counter", "gauge", "histogram")
            kinds[name] = kind
        else:
            match = LINE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name) if name != family else name
            assert base == family, "samples follow their family's head"
            pairs = frozenset((k, unescaped(v)) for k, v in LABEL.findall(labels))
            assert (name, pairs) not in samples, "no sample comes twice"
            samples[name, pairs] = float(value)
    return kinds, samples


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def test_what_several_processes_counted_is_one_text() -> None:
    one, two = Metrics(), Metrics()
    one.counter("craton_requests_total", "Requests.", wire="openai").add(3)
    two.counter("craton_requests_total", "Requests.", wire="openai").add()
    two.counter("craton_requests_total", "Requests.", wire="anthropic").add(2.5)
    two.gauge("craton_open", "Open.").set(7)
    kinds, samples = parsed(exposition([("a", one.snapshot()), ("b", two.snapshot())]))
    assert kinds == {"craton_requests_total": "counter", "craton_open": "gauge"}
    assert samples == {
        sample("craton_requests_total", process="a", wire="openai"): 3,
        sample("craton_requests_total", process="b", wire="openai"): 1,
        sample("craton_requests_total", process="b", wire="anthropic"): 2.5,
        sample("craton_open", process="b"): 7,
    }


def test_a_histogram_counts_up_to_each_bound_and_in_all() -> None:
    metrics = Metrics()
    durations = metrics.histogram("craton_seconds", "Time.", bounds=(0.1, 1.0), wire="x")
    for value in (0.05, 0.1, 0.5, 1.0, 30):
        durations.observe(value)
    kinds, samples = parsed(exposition([("p", metrics.snapshot())]))
    assert kinds == {"craton_seconds": "histogram"}
    labels = {"process": "p", "wire": "x"}
    assert samples[sample("craton_seconds_bucket", le="0.1", **labels)] == 2
    assert samples[sample("craton_seconds_bucket", le="1.0", **labels)] == 4
    assert samples[sample("craton_seconds_bucket", le="+Inf", **labels)] == 5
    assert samples[sample("craton_seconds_count", **labels)] == 5
    assert samples[sample("craton_seconds_sum", **labels)] == 31.65


def test_labels_with_quotes_backslashes_and_new_lines_are_escaped() -> None:
    metrics = Metrics()
    nasty = 'a"b\\c\nd'
    metrics.counter("craton_x_total", "X.", model=nasty).add()
    _, samples = parsed(exposition([("p", metrics.snapshot())]))
    assert samples == {sample("craton_x_total", process="p", model=nasty): 1}


def test_the_same_name_and_labels_are_the_same_line_in_any_order() -> None:
    metrics = Metrics()
    metrics.counter("craton_x_total", "X.", a="1", b="2").add()
    metrics.counter("craton_x_total", "X.", b="2", a="1").add()
    _, samples = parsed(exposition([("p", metrics.snapshot())]))
    assert samples == {sample("craton_x_total", process="p", a="1", b="2"): 2}


def test_a_counter_stands_there_with_zero_before_it_counts() -> None:
    metrics = Metrics()
    metrics.counter("craton_internal_errors_total", "Ours.")
    assert 'craton_internal_errors_total{process="p"} 0\n' in exposition(
        [("p", metrics.snapshot())]
    )
    assert exposition([("p", b"")]) == "\n"
