"""Findings that must not mislead: across data sets, and about what counts as an unused code."""

from __future__ import annotations

from pathlib import Path

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import Findings, findings
from analysis.report import figures
from analysis.sections.differences import reference_of
from tests.analysis.factory import LAMBDA_SPACE, choice, grid, lambda_rows, store, trial


def found(root: Path, rows: list[dict[str, object]], space: dict[str, object]) -> Findings:
    results = open_study(store(root, rows, name="s", space=space, with_arrays=False))
    return findings(results, design(results))


def test_where_data_sets_vary_each_has_its_own_best_setting(tmp_path: Path) -> None:
    space = {"dataset": choice("mnist", "fashion_mnist"), "mi_weight": choice(0, 4)}
    sentences = found(tmp_path, [trial("s", **p) for p in grid(space, range(3))], space).sentences
    best = [s for s in sentences if s.startswith("Best setting")]
    assert len(best) == 2
    assert "data set = mnist" in best[0] and "data set = fashion_mnist" in best[1]


def test_no_data_sets_best_is_taken_for_the_best_of_all(tmp_path: Path) -> None:
    """Everything is easier on the second one: its best is no reference for the first one's settings."""
    space = {"dataset": choice("mnist", "fashion_mnist"), "mi_weight": choice(1, 4)}
    rows = [trial("s", **p) for p in grid(space, range(3))]
    for row in rows:
        row["accuracy_majority"] = 0.5 + 0.1 * (row["mi_weight"] == 4) + 0.2 * (row["dataset"] == "fashion_mnist")
    results = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    made = findings(results, plan)
    led = {s.params: leader.params for s in plan.settings if (leader := made.leader_of(s))}
    assert made.best is None and len(led) == 4
    assert all(dict(leader) == dict(own) | {"mi_weight": 4} for own, leader in led.items())
    said, reference = reference_of(results, plan, made)
    assert said == "the best setting of its data set (selected on these seeds)"
    assert all(r.get("dataset") == s.get("dataset") for s in plan.settings if (r := reference(s)))
    title = figures(results)["score-accuracy_majority-0"].title
    assert "best 0.600 ± 0.000, at data set = mnist, λ = 4; 0.800 ± 0.000, at data set = fashion_mnist, λ = 4" in title


def test_the_best_is_a_setting_of_which_every_seed_has_ended(tmp_path: Path) -> None:
    """One lucky seed of λ = 8 is there, and four of λ = 4, of which the fifth has failed."""
    space = {"mi_weight": choice(0, 4, 8)}
    rows = [trial("s", **p) for p in grid(space, range(5)) if p["mi_weight"] < 8 or p["seed"] == 0]
    for row in rows:
        row["accuracy_majority"] = row["mi_weight"] / 10
    rows[9] |= {"outcome": "failed", "reason": "x"}
    made = found(tmp_path, rows, space)
    assert made.best is not None and (made.best.get("mi_weight"), len(made.best.rows)) == (4, 4)
    assert "Unfinished, and so not ranked: 1 setting of which not all seeds have ended." in made.sentences


def test_before_a_setting_is_finished_none_is_called_best(tmp_path: Path) -> None:
    space = {"mi_weight": choice(0, 4)}
    rows = [trial("s", **p) for p in grid(space, range(2))]
    results = open_study(store(tmp_path, rows, name="s", space=space, seeds=list(range(5)), with_arrays=False))
    made = findings(results, design(results))
    assert made.best is None and not any(s.startswith("Best") for s in made.sentences)
    said = "Unfinished: no setting has ended on all of its 5 seeds yet (2 at most), so none is called best."
    assert said in made.sentences


def test_a_method_without_lambda_is_no_unused_code(tmp_path: Path) -> None:
    """InfoGAN's and JointVAE's trials have lambda = 0 and use their code: only the plain VAE is the reference."""
    methods = {"vae": {}, "info_gan": {"generator_mi_weight": 8.0}, "joint_vae": {"capacity_weight": 30.0}}
    space = {"preset": choice(*methods)}
    rows = [
        trial("s", preset=name, mi_weight=0, seed=seed, **fields)
        | {"accuracy_majority": 0.2 if name == "vae" else 0.8, "mi_weight_normal": 0.0}
        for name, fields in methods.items()
        for seed in range(3)
    ]
    unused = found(tmp_path, rows, space).unused
    assert unused is not None
    assert (round(unused.mean, 6), unused.count) == (0.2, 3)


def test_a_searched_preset_is_what_a_setting_is_called(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "corrected")}
    rows = [
        trial("s", preset=name, mi_weight=weight, seed=seed)
        for name, weight in (("vae", 0), ("corrected", 8))
        for seed in range(2)
    ]
    results = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    assert [setting.params for setting in plan.settings] == [(("preset", "vae"),), (("preset", "corrected"),)]
    assert plan.x.name == "preset"


def test_where_eta_is_searched_beside_lambda_alone_each_line_starts_at_the_unused_code(tmp_path: Path) -> None:
    rows = [row for row in lambda_rows() if row["mi_weight"] or row["entropy_weight"]]
    where = {"entropy_weight": {"mi_weight": [1, 2, 4, 8]}}
    results = open_study(store(tmp_path, rows, space=LAMBDA_SPACE, conditions=where, with_arrays=False))
    plan = design(results)
    lines = {name: [s.get("mi_weight") for s in group] for name, group in plan.lines}
    assert lines == {"η = 0": [0, 1, 2, 4, 8], "η = 1": [0, 1, 2, 4, 8]} and plan.joined
    used = [s for s in findings(results, plan).sentences if "the code is used" in s]
    assert [s.split(",")[0] for s in used] == ["With η = 0", "With η = 1"]
