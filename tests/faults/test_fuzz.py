"""Hostile studies, layouts and command lines, thousands: no traceback, a known exit code, soon, nothing left behind."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from faults import hostile_inputs
from faults.starting import SMOKE, Said, elsewhere, ended, study, vmi

from vmi.spec import layout
from vmi.spec.errors import InputError
from vmi.spec.resolving import resolve

SECONDS = 5.0
UNFORESEEN = "(--debug shows where)"


class Tried(NamedTuple):
    """One input as it can be shown, and how it ended."""

    what: str
    said: Said


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Results of a finished study, a damaged one, a file, and the study file that declares what is drawn."""
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "drawn.py").write_text(hostile_inputs.FILE)
    (tmp_path / "broken.py").write_text("x = (")
    with elsewhere(folder):
        assert study("--local", "--steps", 2, "--seeds", 1, "--results", "results").code == 0
        shutil.copytree("results/smoke", "results/damaged", ignore=shutil.ignore_patterns("wandb"))
        part = next(Path("results/damaged/trials").iterdir())
        part.write_bytes(part.read_bytes()[:-9])
        Path("file").write_text("mine")
        yield folder


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file; W&B's client goes on writing logs of its own."""
    found = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name != "wandb"]
        for path in (Path(folder, file) for file in files):
            state = path.stat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


def shown(make: object) -> str:
    try:
        return repr(make)[:300]
    except Exception:
        return f"<{type(make).__name__}>"


def a_study(random: Random, work: Path) -> Tried:
    """Through `vmi plan`, or through the study's own command line, which is always refused."""
    hostile_inputs.CURRENT[0] = hostile_inputs.study(random)
    if random.random() < 0.6:
        return Tried(f"plan {shown(hostile_inputs.CURRENT[0])}", vmi("plan", work.parent / "drawn.py"))
    line = [*random.choice(([], ["--smoke"], ["--data", "mnist"], ["--scale", "a"])), "--results", "file", "--local"]
    said = study(*line, script=work.parent / "drawn.py")
    assert said.code == 2, (line, said)
    return Tried(f"run {shown(hostile_inputs.CURRENT[0])}", said)


def a_layout(random: Random, work: Path) -> Tried:
    """A layout is refused, or is what it says; its study is planned or refused."""
    text = hostile_inputs.layout(random)

    def action() -> None:
        try:
            assert str(layout.parse(text)) == text
            resolve({"layout": text, "mi_weight": 0})
        except InputError as error:
            print(error)
            raise SystemExit(2) from error

    return Tried(f"layout {text!r}", ended(action))


def a_command_line(random: Random, work: Path) -> Tried:
    places = ["results", "results/smoke", "results/damaged", "results/none", "file", "results/smoke/study.json",
              "a" * 5000, "s3://a/b", "\udcff", str(SMOKE)]  # fmt: skip
    files = [str(SMOKE), str(work.parent / "broken.py"), "file"]
    if random.random() < 0.6:
        line = hostile_inputs.command_line(random, places, files)
        return Tried(f"vmi {line}", vmi(*line))
    line = hostile_inputs.run_line(random, places)
    return Tried(f"run {line}", study(*line))


def flaws(tried: Tried, before: dict[str, tuple[int, int]], work: Path) -> list[str]:
    said = tried.said
    found = [] if said.code in (0, 1, 2, 3) else [f"exit code {said.code}"]
    found += ["a traceback"] if "Traceback" in said.all and "--debug" not in tried.what else []
    found += [f"unforeseen: {said.err}"] if UNFORESEEN in said.all else []
    found += [f"{said.seconds:.1f} s"] if said.seconds > SECONDS else []
    if said.code == 2 and (after := tree(work)) != before:
        found.append(f"wrote {sorted(after.items() ^ before.items())[:3]}")
    return found


def fuzzed(count: int, seed: int, work: Path) -> None:
    random, codes, slowest, failures = Random(seed), Counter[tuple[str, int]](), Tried("", Said(0, "", "")), []
    kinds = (a_study, a_layout, a_command_line, a_layout)
    for index in range(count):
        before, kind = tree(work), kinds[index % len(kinds)]
        try:
            tried = kind(random, work)
        except Exception as error:
            failures.append(f"{kind.__name__} {index}: raised {type(error).__name__}: {str(error)[:2000]}")
            continue
        codes[kind.__name__, tried.said.code] += 1
        slowest = max(slowest, tried, key=lambda one: one.said.seconds)
        failures += [f"{tried.what[:500]}: {flaw}" for flaw in flaws(tried, before, work)]
    print(f"fuzz: {count} inputs, exit codes {dict(sorted(codes.items()))}")
    print(f"fuzz: slowest {slowest.said.seconds:.2f} s: {slowest.what[:200]!r}")
    assert not failures, f"{len(failures)} failures\n" + "\n".join(failures[:20])


def test_five_hundred_hostile_inputs_are_refused_or_answered(work: Path) -> None:
    """No traceback, exit codes 0 to 3, none over 5 s, no file written by what is refused."""
    fuzzed(500, 1, work)


@pytest.mark.faults
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_hostile_inputs_are_refused_or_answered(work: Path, seed: int) -> None:
    fuzzed(5_000, seed, work)
