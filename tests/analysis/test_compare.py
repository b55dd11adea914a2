"""`vmi compare`: what two studies share, paired by seed, and in what they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.compare import markdown
from analysis.data.settings import interval
from analysis.data.study_results import open_study
from tests.analysis.cases import PAYLOADS
from tests.analysis.factory import choice, grid, store, trial
from tests.support.commands import here
from vmi.storage.checksum import sealed, unsealed


def study(
    root: Path, name: str, weights: tuple[float, ...], *, seeds: int = 4, shift: float = 0.0, **given: object
) -> Path:
    """A study over λ whose accuracies are `shift`, and a little that varies with the seed, above the factory's."""
    space = {"mi_weight": choice(*weights)}
    rows = [trial(name, **given, **point) for point in grid(space, range(seeds))]
    for row in rows:
        row["accuracy_majority"] += shift * (1 + row["seed"] / 10)
    return store(root, rows, name=name, space=space, with_arrays=False)


def compared(a: Path, b: Path, fields: tuple[str, ...] = ()) -> str:
    return markdown(open_study(a), open_study(b), fields)


def test_shared_settings_are_paired_by_seed_with_student_t_intervals(tmp_path: Path) -> None:
    a = study(tmp_path, "one", (0, 4, 8))
    b = study(tmp_path, "two", (4, 8, 16), shift=0.1)
    text = compared(a, b)
    own = interval(0.1 * (1 + seed / 10) for seed in range(4))
    assert own is not None and own.low is not None and own.high is not None
    said = f"{own.mean:+.3f} [{own.low:+.3f}, {own.high:+.3f}], 4 seeds: decided"
    assert text.count(said) == 2, "λ = 4 and λ = 8"
    assert "### λ = 4\n" in text and "### λ = 8\n" in text and "### λ = 0\n" not in text
    assert "- first: λ = 0 (4 seeds)" in text and "- second: λ = 16 (4 seeds)" in text
    assert "| of these shared | 2 | 2 |" in text


def test_the_name_of_a_study_or_preset_makes_no_other_setting(tmp_path: Path) -> None:
    text = compared(study(tmp_path, "one", (4,), preset="custom"), study(tmp_path, "two", (4,), preset="corrected"))
    assert "### the one setting" in text and "- first: none" in text and "- second: none" in text


def test_only_seeds_of_both_are_paired(tmp_path: Path) -> None:
    text = compared(study(tmp_path, "one", (4,), seeds=2), study(tmp_path, "two", (4,), seeds=5))
    assert "+0.000 [+0.000, +0.000], 2 seeds: not decided" in text


def test_neither_fresh_seeds_nor_survivors_of_what_was_cut_short_are_compared(tmp_path: Path) -> None:
    """Of four seeds the last is fresh; at λ = 8 one was pruned."""
    space = {"mi_weight": choice(4, 8)}
    rows = [trial("one", **point) for point in grid(space, range(4))]
    rows[4] |= {"outcome": "pruned"}
    first = store(tmp_path, rows, name="one", space=space, with_arrays=False, confirm=1, confirm_seeds=[3])
    text = compared(first, study(tmp_path, "two", (4, 8)))
    assert "### λ = 4\n" in text and "3 seeds" in text and "| settings | 1 | 2 |" in text
    assert "### λ = 8\n" not in text and "- second: λ = 8 (4 seeds)" in text


def test_a_baseline_is_named_by_what_sets_it_apart(tmp_path: Path) -> None:
    space = {"temperature": choice(0.1, 0.2)}
    points = [{**p, "temperature_final": p["temperature"]} for p in grid(space, range(2))]
    rows = [
        trial("one", **p) for p in (*points, *({"mi_weight": 0, "mi_weight_normal": 0.0, "seed": s} for s in (0, 1)))
    ]
    asked = {"fixed": {"mi_weight": 4.0}, "baseline": {"mi_weight": 0.0}}
    first = store(tmp_path, rows, name="one", space=space, with_arrays=False, **asked)
    assert "- first: τ = 0.5, λ = 0 (2 seeds)" in compared(first, study(tmp_path, "two", (16,)))


def test_two_studies_with_nothing_in_common_say_so(tmp_path: Path) -> None:
    text = compared(study(tmp_path, "one", (1, 2)), study(tmp_path, "two", (4, 8)))
    assert "no setting in common" in text and "- first: λ = 1 (4 seeds)" in text
    assert "- `mi_weight`: 1 and 2 in the first, 4 and 8 in the second" in text


def test_a_study_without_trials_is_compared_all_the_same(tmp_path: Path) -> None:
    empty = store(tmp_path, [], name="none", with_arrays=False)
    text = compared(empty, study(tmp_path, "two", (4,)))
    assert "no setting in common" in text and "| completed trials | 0 | 4 |" in text


def test_what_was_asked_and_with_which_versions(tmp_path: Path) -> None:
    a, b = study(tmp_path, "one", (4,)), study(tmp_path, "two", (4, 8), seeds=5)
    said = here(tmp_path, "compare", a, b)
    assert said.code == 0, said.err
    assert '| name | "one" | "two" |' in said.out
    assert "| seeds | \\[0, 1, 2, 3\\] | \\[0, 1, 2, 3, 4\\] |" in said.out
    assert "| space.mi_weight | " in said.out and "| versions | python 3.11, torch 2.11 |" in said.out
    target = tmp_path / "compared.md"
    assert here(tmp_path, "compare", a, b, "--out", target).code == 0
    assert target.read_text(encoding="utf-8") == said.out


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_hostile_name_is_inert(name: str, tmp_path: Path) -> None:
    a = study(tmp_path, "one", (4,), layout="n16+c10*")
    spec = unsealed((a / "study.json").read_bytes())
    (a / "study.json").write_bytes(sealed(spec | {"name": name}))
    made = compared(a, study(tmp_path, "two", (4,)), (name, f"fixed.{name}"))
    assert "<" not in made and "\x1b" not in made and "\u2028" not in made and "\x07" not in made


def test_bad_folders_are_2_and_a_damaged_store_3(tmp_path: Path) -> None:
    a, b = study(tmp_path, "one", (4,)), study(tmp_path, "two", (4,))
    said = here(tmp_path, "compare", a, tmp_path / "twoo")
    assert said.code == 2 and "twoo" in said.err and "did you mean 'two'" in said.err
    said = here(tmp_path, "compare", a, b, "--out", tmp_path / "no" / "where.md")
    assert said.code == 2 and "where.md" in said.err
    part = next((b / "trials").glob("part-*.parquet"))
    part.write_bytes(b"PAR1")
    said = here(tmp_path, "compare", a, b)
    assert said.code == 3 and part.name in said.err
