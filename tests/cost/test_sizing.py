"""How many members a pack gets: what was measured, what memory holds, what a user says; and that it is said why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cost.test_measurements import CONFIG, KIND, entry
from runners.test_ledger import all_trials, completed, end, none, row_of, run

from vmi.cli.plan import Request, plan_lines
from vmi.cost.footprint import base_bytes, data_bytes, member_bytes, shared_bytes
from vmi.cost.measurements import Entry, costs_on, write
from vmi.cost.packing import AUTO, MAX_PACK_SIZE, pack
from vmi.cost.prediction import Target
from vmi.cost.sizing import DEFAULT_PACK_SIZE, SHARE, Chosen, Room, Sizing, round_size, terms_of
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.config import Architecture
from vmi.spec.datasets import register, spec_of
from vmi.spec.errors import InputError
from vmi.spec.resolving import resolve
from vmi.study.space import choice, integers, uniform
from vmi.study.study import Study

MADE = Study(name="s", fixed={"steps": 1000}, space={"mi_weight": choice(0, 1)}, seeds=range(2))
SMALL = CONFIG.architecture


def room_for(members: float, architecture: Architecture = SMALL, device: str = "cpu") -> Room:
    """Room for so many members, with what is held back."""
    needed = base_bytes(architecture.dataset, device) + shared_bytes(architecture, device)
    return Room(device, round((needed + members * member_bytes(architecture, (), device)) / SHARE))


def sizing(
    *entries: Entry, wanted: int | str = AUTO, room: Room | None = None, study: Study = MADE, device: str = "cpu"
) -> Sizing:
    found = costs_on(entries, device, None)
    return Sizing(study, wanted, lambda: room or Room(device, None), lambda: found)


def steps_of(*seconds: float, **other: Any) -> list[Entry]:
    """Measured at 1, 4, 16 and 64 members: seconds of a step for each member."""
    return [entry(size, size * s, 0.0, **other) for size, s in zip((1, 4, 16, 64), seconds, strict=False)]


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        ((0.010, 0.005, 0.004, 0.003), 64),
        ((0.010, 0.005, 0.00409, 0.004), 16),  # within 3 % of the best, and a quarter of its memory
        ((0.010, 0.005, 0.00415, 0.004), 64),
        ((0.010, 0.005, 0.007, 0.009), 4),
        ((0.010, 0.0102, 0.0101, 0.01), 1),
        ((0.010, 0.005), 4),
    ],
)
def test_the_smallest_measured_size_within_three_percent_of_the_best_is_taken(
    seconds: tuple[float, ...], size: int
) -> None:
    chosen = sizing(*steps_of(*seconds)).chosen(SMALL)
    assert chosen.size == size and chosen.why == "measured on test CPU, 2026-01-01"


def test_what_a_pack_costs_beyond_its_steps_counts_where_trials_are_short() -> None:
    """A step of a member is as dear in any pack; what a pack costs once is shared by its members."""
    measured = [entry(1, 0.01, 1.0), entry(16, 0.16, 1.0)]
    assert sizing(*measured)(resolve({"steps": 10}).architecture) == 16
    assert sizing(*measured)(resolve({"steps": 100_000}).architecture) == 1


def test_a_measurement_with_other_terms_or_of_other_steps_stands_for_it_and_of_other_networks_not() -> None:
    with_term = steps_of(0.01, 0.002, 0.004, kind=KIND._replace(terms="tc_weight"))
    assert sizing(*with_term)(SMALL) == 4
    other = steps_of(0.01, 0.002, 0.004, kind=KIND._replace(hidden="999"))
    assert sizing(*other).chosen(SMALL) == Chosen(DEFAULT_PACK_SIZE, "the default: not measured here", None)


def test_without_a_measurement_a_cpu_gets_the_default_and_a_card_what_its_memory_holds() -> None:
    assert sizing().chosen(SMALL).size == sizing(room=room_for(10**6)).chosen(SMALL).size == DEFAULT_PACK_SIZE
    assert sizing(room=room_for(40.5, device="cuda")).chosen(SMALL).size == 40
    assert sizing(room=room_for(10**6, device="cuda")).chosen(SMALL).size == MAX_PACK_SIZE
    nothing_known = sizing(room=Room("cuda", None)).chosen(SMALL)
    assert nothing_known.size == DEFAULT_PACK_SIZE and "no GPU to ask" in nothing_known.why
    on_a_card = steps_of(0.01, 0.004, 0.003, device="cuda")
    assert sizing(*on_a_card, room=room_for(40.5, device="cuda"), device="cuda")(SMALL) == 16


@pytest.mark.parametrize(("members", "size"), [(16.5, 16), (15.5, 15), (1.5, 1), (0.5, 1), (-5, 1)])
def test_a_pack_never_gets_more_members_than_memory_holds_but_one(members: float, size: int) -> None:
    for made in (sizing(room=room_for(members)), sizing(*steps_of(0.01, 0.005, 0.004), room=room_for(members))):
        chosen = made.chosen(SMALL)
        assert chosen.size == size and chosen.fits == max(0, int(members))
        assert ("memory: " in chosen.why) == (members < 16)


def test_images_that_fit_beside_no_pack_are_refused_with_both_numbers() -> None:
    register(spec_of("digits")._replace(name="data-many", train_count=10**7))
    architecture = resolve({"dataset": "data-many"}).architecture
    assert data_bytes("data-many") == 64 * (10**7 + 360)
    assert sizing(room=Room("cpu", 10**9)).chosen(architecture).size == 1
    for wanted in (AUTO, 4):
        with pytest.raises(InputError, match=r"data-many.*these take 0\.6 GB, and 0\.5 GB are free"):
            sizing(room=Room("cpu", 5 * 10**8), wanted=wanted).chosen(architecture)


def test_a_number_of_the_users_wins_and_is_warned_of_where_a_pack_does_not_fit() -> None:
    made = sizing(*steps_of(0.01, 0.005, 0.004), wanted=64, room=room_for(20.5))
    assert made.chosen(SMALL) == Chosen(64, "as asked for", 20)
    trials = all_trials(Study(name="s", space={"mi_weight": choice(0, 1)}, seeds=range(15)))
    assert not [*made.warnings(pack(trials[:20], made, 1))]
    (said,) = made.warnings(pack(trials[:21], made, 1))
    assert said.startswith("a pack of 21 of digits n16+c10* mlp 128-64 needs about ") and "are free" in said
    assert said.endswith("memory holds about 20")
    assert not [*sizing(wanted=64).warnings(pack(trials, 64, 1))], "where nothing is known, nothing is said"


def test_each_architecture_gets_a_size_of_its_own_and_a_resumed_study_may_have_others() -> None:
    made = Study(name="s", space={"hidden": choice("128-64", "2048-2048"), "mi_weight": choice(0, 4)}, seeds=range(12))
    large = resolve({"hidden": "2048-2048"}).architecture
    sizes = sizing(room=room_for(3.5, large), study=made)
    ledger = Ledger(made, searcher_for(made, 0), {}, none, pack_size=sizes, workers=lambda: 1)
    first = ledger.next_pack()
    assert first and ledger.places_of(first) == 16 >= len(first.trials) == 12
    end(ledger, first, [completed(trial) for trial in first.trials])
    packs = run(ledger)
    assert {len(spec.trials) for spec in packs if spec.trials[0].config.hidden == "2048-2048"} == {3}
    rows = {trial.trial_id: row_of(trial) for trial in first.trials}
    again = Ledger(made, searcher_for(made, 0), rows, none, pack_size=sizing(wanted=5, study=made), workers=lambda: 1)
    others = run(again)
    assert max(len(spec.trials) for spec in others) <= 5
    assert sum(len(spec.trials) for spec in others) == 48 - 12 and len(again.outcomes.finished) == 48


def test_neither_room_nor_measurements_are_asked_for_where_nothing_is_to_be_trained() -> None:
    def refuse() -> Any:
        raise AssertionError("asked")

    rows = {trial.trial_id: row_of(trial) for trial in all_trials(MADE)}
    ledger = Ledger(
        MADE, searcher_for(MADE, 0), rows, none, pack_size=Sizing(MADE, AUTO, refuse, refuse), workers=lambda: 1
    )
    assert not ledger.has_work() and len(ledger.outcomes.finished) == 4


@pytest.mark.parametrize(
    ("study", "terms"),
    [
        ({}, ()),
        ({"fixed": {"tc_weight": 4.0}}, ("tc_weight",)),
        ({"space": {"mmd_weight": uniform(0, 10)}}, ("mmd_weight",)),
        ({"space": {"preset": choice("vae", "factor_vae")}}, ("factor_weight",)),
        ({"baseline": {"view_strength": 0.5}}, ("view_strength",)),
        ({"space": {"batch_size": integers(10, 100), "mi_weight": choice(0, 0.0)}}, ()),
    ],
)
def test_the_terms_that_some_trial_may_use_count(study: dict[str, Any], terms: tuple[str, ...]) -> None:
    assert terms_of(Study(**{"name": "s", "space": {}, "seeds": range(1), **study})) == terms


def lines_of(tmp_path: Path, *entries: Entry, **request: Any) -> list[str]:
    write(tmp_path / "calibration.json", entries)
    target = Target("cpu", 2, "test CPU")
    return [*plan_lines(MADE, Request(results=tmp_path, target=target, **request))]


def test_a_plan_says_in_a_line_what_size_was_chosen_and_why(tmp_path: Path) -> None:
    (said,) = (line for line in lines_of(tmp_path, *steps_of(0.01, 0.004)) if line.startswith("pack size"))
    assert said == "pack size: 4 (measured on test CPU, 2026-01-01)"
    (said,) = (line for line in lines_of(tmp_path / "none") if line.startswith("pack size"))
    assert said == "pack size: 16 (the default: not measured here)"
    (said,) = (line for line in lines_of(tmp_path, pack_size=7) if line.startswith("pack size"))
    assert said == "pack size: 7 (as asked for)"


def test_a_sampler_s_rounds_depend_on_what_was_asked_for_and_not_on_measurements_or_memory() -> None:

    def never() -> Any:
        raise AssertionError("asked for")

    assert round_size(Sizing(MADE, AUTO, never, never)) == DEFAULT_PACK_SIZE
    assert round_size(Sizing(MADE, 5, never, never)) == round_size(5) == 5
