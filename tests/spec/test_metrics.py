"""The metrics' records: whole, in one order for every reader, and each layout's own."""

from __future__ import annotations

from itertools import pairwise

from vmi.spec.goals import DIRECTIONS
from vmi.spec.layout import parse
from vmi.spec.metrics import METRICS, Shown, available, default_metric, shown


def test_every_metric_has_a_label_and_a_place_of_its_own() -> None:
    for name, metric in METRICS.items():
        assert metric.unit and metric.meaning and metric.short and metric.title, name
        assert metric.direction in (*DIRECTIONS, ""), name
    for part in ("short", "title", "place"):
        assert len({getattr(metric, part) for metric in METRICS.values()}) == len(METRICS), part


def test_each_place_shows_what_the_briefer_one_does_in_the_same_order() -> None:
    assert shown(Shown.FIGURES)[0] == "accuracy_majority"
    assert set(shown(Shown.STORE)) == set(METRICS)
    for brief, long in pairwise(Shown):
        assert shown(brief) == tuple(name for name in shown(long) if name in shown(brief))


def test_a_layout_has_what_its_blocks_give() -> None:
    assert set(available(parse("n2"))) == {
        "distortion_nats", "rate_nats", "elbo_nats", "mi_encoder_lower_nats", "mi_encoder_upper_nats",
    }  # fmt: skip
    assert "mi_real_bound_nats" not in available(parse("n2*+c3"))
    assert set(METRICS) - set(available(parse("c3*"))) == {"mi_encoder_lower_nats", "mi_encoder_upper_nats"}
    assert set(available(parse("n2+c3*"))) == set(METRICS)


def test_without_labels_a_layout_has_what_looks_at_none() -> None:
    blind = set(available(parse("n2+c3*"), labelled=False))
    assert blind == {name for name, metric in METRICS.items() if not metric.labels}
    assert "categories_used" in blind


def test_what_is_compared_by_default_every_layout_can_give() -> None:
    layouts = [parse(text) for text in ("n2*", "c3*", "n2+c3*")]
    assert default_metric(layouts, labelled=True) == "accuracy_majority"
    assert default_metric(layouts[1:], labelled=False) == "mi_encoder_nats"
    assert default_metric([layouts[0], layouts[2]], labelled=False) == "mi_encoder_lower_nats"
    assert default_metric(layouts, labelled=False) == "elbo_nats"
