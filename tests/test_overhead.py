"""The overhead that benchmarks/startup.py prints: every moment of every worker is counted once, from start to end."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_what_is_neither_steps_nor_evaluation_is_overhead_and_idle_time_stands_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    startup, spans = importlib.import_module("startup"), importlib.import_module("spans")
    ends = {
        1: [("loading data", 4), (spans.STEPS, 20), (spans.EVALUATION, 22), (spans.COMMITS, 24)],
        2: [("loading data", 10), (spans.STEPS, 25), (spans.REFERENCE, 27), (spans.EVALUATION, 28)],
    }
    ends[2] += [(spans.COMMITS, 30), (spans.REST, 31)]
    pieces = []
    for pid, own in ends.items():
        since = 0.0
        for what, until in own:
            pieces.append({"pid": pid, "what": what, "since": since, "until": float(until)})
            since = float(until)
    said = list(startup.overhead(pieces))
    shown = {line.rpartition("  ")[2]: line.split()[0] for line in said[1:-3]}
    # From 10 s, when the second worker took its first step, to 30 s: 10 + 15 s of steps, 2 + 1 s of evaluation.
    assert said[0].startswith("2 workers x 20.00 s")
    assert (shown[spans.STEPS], shown[spans.EVALUATION], shown[startup.IDLE]) == ("25.00", "3.00", "6.00")
    assert (shown[spans.REFERENCE], shown[spans.COMMITS], shown["in none of these"]) == ("2.00", "4.00", "0.00")
    shares = [float(line.replace("overhead:", "").split("%")[0]) for line in said[-3:]]
    assert shares == pytest.approx([100 * 6 / 34, 100 * 12 / 40, 100 * 4 / 34], abs=0.05)


def test_a_piece_within_another_is_cut_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spans = importlib.import_module("spans")
    monkeypatch.setenv("VMI_TRACE", str(tmp_path / "trace.jsonl"))
    monkeypatch.setattr(spans, "_now", [])
    spans.turn(spans.REST)
    with spans.span(spans.EVALUATION), spans.span(spans.REFERENCE):
        pass
    spans.turn(spans.BETWEEN)
    pieces = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    order = [spans.REST, spans.EVALUATION, spans.REFERENCE, spans.EVALUATION, spans.REST]
    assert [piece["what"] for piece in pieces] == order
    assert all(one["until"] == other["since"] for one, other in itertools.pairwise(pieces))
