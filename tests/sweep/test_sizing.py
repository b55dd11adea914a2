"""How many members a pack gets: what was measured, what memory holds, what a user says; and that it is said why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep.test_costs import CONFIG, KIND, entry
from sweep.test_ledger import all_trials, completed, none, row_of, run

from vmi.config import Architecture, resolve
from vmi.footprint import base_bytes, member_bytes, shared_bytes
from vmi.sweep import hardware
from vmi.sweep.costs import Entry, costs_on, write
from vmi.sweep.ledger import Ledger
from vmi.sweep.local import LocalRunner
from vmi.sweep.options import AUTO, DEFAULT_PACK_SIZE, MAX_PACK_SIZE
from vmi.sweep.packing import pack
from vmi.sweep.plan import Request, plan_lines
from vmi.sweep.prediction import Target
from vmi.sweep.search import searcher_for
from vmi.sweep.sizing import SHARE, Chosen, Room, Sizing, room_here, round_size, terms_of
from vmi.sweep.space import choice, integers, uniform
from vmi.sweep.study import Study

MADE = Study(name="s", fixed={"steps": 1000}, space={"mi_weight": choice(0, 1)}, seeds=range(2))
SMALL = CONFIG.architecture


def room_for(members: float, architecture: Architecture = SMALL, device: str = "cpu") -> Room:
    """Room for so many members, with what is held back."""
    needed = base_bytes(architecture.dataset, device) + shared_bytes(architecture)
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
    assert nothing_known.size == DEFAULT_PACK_SIZE and "no card to ask" in nothing_known.why
    on_a_card = steps_of(0.01, 0.004, 0.003, device="cuda")
    assert sizing(*on_a_card, room=room_for(40.5, device="cuda"), device="cuda")(SMALL) == 16


@pytest.mark.parametrize(("members", "size"), [(16.5, 16), (15.5, 15), (1.5, 1), (0.5, 1), (-5, 1)])
def test_a_pack_never_gets_more_members_than_memory_holds_but_one(members: float, size: int) -> None:
    for made in (sizing(room=room_for(members)), sizing(*steps_of(0.01, 0.005, 0.004), room=room_for(members))):
        chosen = made.chosen(SMALL)
        assert chosen.size == size and chosen.fits == max(0, int(members))
        assert ("memory: " in chosen.why) == (members < 16)


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
    ledger.ended(first.pack_id, [completed(trial) for trial in first.trials])
    packs = run(ledger)
    assert {len(spec.trials) for spec in packs if spec.trials[0].config.hidden == "2048-2048"} == {3}
    rows = {trial.trial_id: row_of(trial) for trial in first.trials}
    again = Ledger(made, searcher_for(made, 0), rows, none, pack_size=sizing(wanted=5, study=made), workers=lambda: 1)
    others = run(again)
    assert max(len(spec.trials) for spec in others) <= 5
    assert sum(len(spec.trials) for spec in others) == 48 - 12 and len(again.finished) == 48


def test_neither_room_nor_measurements_are_asked_for_where_nothing_is_to_be_trained() -> None:
    def refuse() -> Any:
        raise AssertionError("asked")

    rows = {trial.trial_id: row_of(trial) for trial in all_trials(MADE)}
    ledger = Ledger(
        MADE, searcher_for(MADE, 0), rows, none, pack_size=Sizing(MADE, AUTO, refuse, refuse), workers=lambda: 1
    )
    assert not ledger.has_work() and len(ledger.finished) == 4


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


FIRST = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
SECOND = "memory.max", "memory.current", "inactive_file"
GIB = 2**30


def machine(root: Path, free: int, group: str, **limits: tuple[str, object, int, int]) -> Path:
    """/proc and /sys as a kernel shows them: free bytes, the groups of this process, and their limits by folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:  {free // 1024} kB\n")
    (root / "proc/self/cgroup").write_text(group)
    for folder, limit, used, cache in limits.values():
        names = FIRST if "memory" in folder.split("/") else SECOND
        where = root / "sys/fs/cgroup" / folder
        where.mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, (limit, used), strict=False):
            (where / name).write_text(f"{value}\n")
        (where / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")
    return root


@pytest.mark.parametrize(
    ("group", "limits", "left"),
    [
        ("", {}, 8),
        ("0::/job\n", {"own": ("job", 3 * GIB, GIB, 0)}, 2),
        ("0::/job\n", {"own": ("job", 3 * GIB, 2 * GIB, GIB)}, 2),  # a cache can be given up
        ("0::/job/step\n", {"own": ("job/step", "max", GIB, 0), "above": ("job", 4 * GIB, GIB, 0)}, 3),
        ("0::/job\n", {"own": ("job", 3 * GIB, 4 * GIB, 0)}, 0),
        ("0::/not/seen/here\n", {"mount": ("", 2 * GIB, GIB, 0)}, 1),  # a container's own root
        ("0::/job\n", {"own": ("job", 64 * GIB, GIB, 0)}, 8),
        ("4:memory:/job\n0::/\n", {"own": ("memory/job", 3 * GIB, GIB, 0)}, 2),
        ("4:cpu,memory:/x\n", {"mount": ("memory", 5 * GIB, GIB, GIB)}, 5),
        ("4:memory:/x\n", {"mount": ("memory", 2**63 - 4096, GIB, 0)}, 8),
        ("nonsense\n", {}, 8),
    ],
)
def test_what_a_container_has_left_counts_where_it_is_less_than_the_machines(
    tmp_path: Path, group: str, limits: dict[str, Any], left: int
) -> None:
    assert hardware.available_memory(machine(tmp_path, 8 * GIB, group, **limits)) == left * GIB


def test_less_is_left_where_a_group_is_held_up_before_its_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, 8 * GIB, "0::/job\n", own=("job", 5 * GIB, GIB, 0))
    for high, left in (("max", 4), (3 * GIB, 2), (6 * GIB, 4)):
        (root / "sys/fs/cgroup/job/memory.high").write_text(f"{high}\n")
        assert hardware.available_memory(root) == left * GIB


@pytest.mark.parametrize(
    ("group", "files", "allowed"),
    [
        ("", {}, None),
        ("0::/job\n", {"job/cpu.max": "100000 100000"}, 1),
        ("0::/job\n", {"job/cpu.max": "199999 100000"}, 1),
        ("0::/job\n", {"job/cpu.max": "10000 100000"}, 1),  # there is no less than one
        ("0::/job\n", {"job/cpu.max": "max 100000"}, None),
        ("0::/job\n", {"job/cpu.max": "100000 0"}, None),
        ("0::/job\n", {"job/cpu.max": "99900000 100000"}, None),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000", "job/cpu.max": "100000 100000"}, 1),
        ("0::/not/seen/here\n", {"cpu.max": "100000 100000"}, 1),  # a container's own root
        ("1:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "50000"}, 1),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/cpu.cfs_quota_us": "7", "cpu,cpuacct/cpu.cfs_period_us": "7"}, 1),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_a_container_s_quota_counts_where_it_is_less_than_the_cores(
    tmp_path: Path, group: str, files: dict[str, str], allowed: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    assert hardware.cores(tmp_path) == (allowed or len(os.sched_getaffinity(0)))


def test_this_machines_memory_is_shared_by_its_workers_and_a_silent_system_has_none(
    tmp_path: Path,
) -> None:
    free = hardware.available_memory()
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert free and 0 < free <= total
    cores = hardware.cores()
    alone, shared, beyond = (room_here("cpu", count).free for count in (1, cores, 1000 * cores))
    assert alone and shared and beyond
    assert shared == pytest.approx(alone / cores, rel=0.2) and beyond == pytest.approx(shared, rel=0.2)
    assert hardware.available_memory(tmp_path) is None and hardware.own_memory(tmp_path) == 0


def test_what_this_process_holds_already_is_room_for_the_packs_that_it_trains_itself() -> None:
    # In a process of its own: this one may have freed memory that it takes again.
    grown = """
import os
from vmi.sweep import hardware
held = hardware.own_memory()
block = bytearray(os.urandom(1024)) * (100 * 1024)
print((hardware.own_memory() - held) / len(block))
"""
    found = subprocess.run([sys.executable, "-c", grown], capture_output=True, text=True, check=True)
    assert float(found.stdout) == pytest.approx(1, rel=0.2)
    room, here = LocalRunner(0.0).room(), room_here("cpu", 1)
    assert room.device == "cpu" and room.free and here.free
    assert room.free - here.free == pytest.approx(hardware.own_memory(), rel=0.5)


def test_a_node_without_cards_says_so_and_one_with_cards_names_their_free_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a program in place of the driver's: no card is at hand."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.free_on_cards() == [] and room_here("cuda", 1) == Room("cuda", None)
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nprint('40000\\n81000')")
    program.chmod(0o755)
    assert hardware.free_on_cards() == [40000 * 2**20, 81000 * 2**20]
    assert room_here("cuda", 2) == Room("cuda", 40000 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.free_on_cards() == [] and room_here("cuda", 2) == Room("cuda", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program.write_text(f"#!{sys.executable}\nprint('No devices were found')\nraise SystemExit(6)")
    assert hardware.free_on_cards() == []


def test_a_sampler_s_rounds_depend_on_what_was_asked_for_and_not_on_measurements_or_memory() -> None:

    def never() -> Any:
        raise AssertionError("asked for")

    assert round_size(Sizing(MADE, AUTO, never, never)) == DEFAULT_PACK_SIZE
    assert round_size(Sizing(MADE, 5, never, never)) == round_size(5) == 5
