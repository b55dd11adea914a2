"""`vmi drop` as it is typed: a mistake is taken out, said everywhere, and trained again; nothing goes unasked."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from support.commands import PROGRAM, here
from support.store_lab import content, record, tree

import vmi
from analysis.data.study_results import open_study
from analysis.terminal import terminal
from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.monitor.status import status_lines
from vmi.results.store import Store
from vmi.storage.checksum import sealed
from vmi.study.space import choice
from vmi.study.study import Study

STUDY = Study(
    name="s", fixed={"hidden": "16-8", "steps": 4, "batch_size": 64}, space={"mi_weight": choice(0, 8)}, seeds=range(2)
)


def start(root: Path, name: str = "s") -> str:
    """Run the study in this process; what it said."""
    said = io.StringIO()
    run = RunOptions(results=root, local=True, gpus_per_pack=0, name=name)
    assert launch(STUDY, run, Console(file=said, width=200)) == 0
    return said.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results", "s")
    for seed in (0, 2):
        record(store, [seed, seed + 1])
    store.write_study({"name": "s", "planned": 4, "metric": "accuracy_majority", "direction": "maximize", "space": {}})
    return store


def test_a_mistake_is_taken_out_said_everywhere_and_trained_again(tmp_path: Path) -> None:
    root = tmp_path / "results"
    start(root)
    start(root, "copy")
    before = {row["trial_id"]: row for row in Store(root, "s").finished().values()}
    said = here(tmp_path, "drop", root / "s", "--where", "mi_weight = 8", "--yes")
    assert said.code == 0 and "s: dropped 2 of 4 trials" in said.out and "trains again" in said.out, said
    told = " UTC, where mi_weight = 8"
    status = "\n".join(status_lines(root / "s"))
    assert "2 of 2 trials finished" in status and "dropped: 2 trials on " in status and told in status
    assert here(tmp_path, "report", root / "s").code == 0
    page = (root / "s" / "report.html").read_text()
    assert "Dropped trials" in page and told in page and "dropped: 2 trials on" in printed(root / "s")
    assert here(tmp_path, "fsck", root / "s").code == 0
    again = start(root)  # which asks for it by name
    assert "grows: mi_weight 1 → 2 values, 2 found + 2 to train" in again
    assert "2 trained in this run + 2 found in the store" in again  # and none is taken over from the copy
    after = Store(root, "s").finished()
    changed = {one for one in before if after[one]["attempt"] != before[one]["attempt"]}
    assert set(after) == set(before) and len(changed) == 2
    assert all(after[one]["accuracy_majority"] == before[one]["accuracy_majority"] for one in before)
    assert "dropped: 2 trials on" in printed(root / "s")


def printed(folder: Path) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(terminal(open_study(folder)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("where", "more", "said"),
    [
        ("sed = 1", ["--yes"], "did you mean 'seed'?"),
        ("seed = ", ["--yes"], "is expected at the end"),
        ("seed = 77", ["--yes"], "met by none of the 4 finished trials"),
        ("seed = 1", [], "--yes: needed without a terminal, to drop 1 of 4 trials"),
    ],
)
def test_what_is_wrong_or_not_agreed_to_changes_nothing(
    store: Store, tmp_path: Path, where: str, more: list[str], said: str
) -> None:
    before = tree(store.root)
    found = here(tmp_path, "drop", store.folder, "--where", where, *more)
    assert found.code == 2 and said in found.err and tree(store.root) == before


def test_other_places_than_one_study_and_no_condition_are_refused(store: Store, tmp_path: Path) -> None:
    before = tree(store.root)
    for place, said in ((store.root, "one study's results"), (store.root / "ss", "did you mean 's'?")):
        found = here(tmp_path, "drop", place, "--where", "seed = 1", "--yes")
        assert found.code == 2 and said in found.err
    found = here(tmp_path, "drop", store.folder, "--wehre", "seed = 1")
    assert found.code == 2 and "did you mean '--where'?" in found.err and tree(store.root) == before


def test_while_a_driver_runs_the_study_nothing_is_dropped(store: Store, tmp_path: Path) -> None:
    (store.folder / "driver.json").write_bytes(sealed({"host": "elsewhere", "pid": 7, "updated": time.time()}))
    before = tree(store.root)
    found = here(tmp_path, "drop", store.folder, "--where", "seed = 1", "--yes")
    assert found.code == 2 and "pid 7 on elsewhere" in found.err and tree(store.root) == before


def test_a_damaged_study_is_named_and_left_alone(store: Store, tmp_path: Path) -> None:
    path = sorted(store.folder_of("arrays").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1])
    before = tree(store.root)
    found = here(tmp_path, "drop", store.folder, "--where", "seed = 1", "--yes")
    assert found.code == 3 and path.name in found.err and tree(store.root) == before


def typed(store: Store, answer: str, where: str, *more: str) -> tuple[int, str]:
    """Run `vmi drop` on a terminal and type an answer: the exit code and all that stood there."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-c", PROGRAM, "drop", str(store.folder), "--where", where, *more]
        os.execve(sys.executable, command, {**os.environ, "COLUMNS": "300"})
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
            if b"? [y/N]" in shown and answer:
                os.write(terminal, answer.encode())
                answer = ""
    except OSError:  # how a terminal says that the other side has gone
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_on_a_terminal_it_asks_with_the_counts_and_no_is_no(store: Store) -> None:
    whole, before = content(store), tree(store.root)
    for answer in ("n\n", "\n", "\x04"):
        code, shown = typed(store, answer, "seed < 3")
        assert code == 2 and "Drop 3 of 4 trials from" in shown and "nothing was dropped" in shown
        assert tree(store.root) == before and content(store) == whole


@pytest.mark.parametrize(
    ("where", "more", "left", "asked"),
    [("seed < 3", [], 1, True), ("seed < 3", ["--yes"], 1, False), ("seed >= 0", ["--yes"], 0, True)],
)
def test_yes_is_asked_for_once_and_for_all_of_a_study_always(
    store: Store, where: str, more: list[str], left: int, asked: bool
) -> None:
    code, shown = typed(store, "y\n", where, *more)
    assert code == 0, shown
    assert ("? [y/N]" in shown) == asked and len(content(store)) == left
    assert [len(drop["attempts"]) for drop in json.loads((store.folder / "dropped.json").read_text())["drops"]] == [
        4 - left
    ]


def test_off_a_terminal_yes_drops_all_of_a_study_and_no_text_of_it_is_run(store: Store, tmp_path: Path) -> None:
    where = "preset != '<script>alert(1)</script>\x1b[31m'"
    assert here(tmp_path, "drop", store.folder, "--where", where, "--yes").code == 0
    assert content(store) == {}
    for command in ("report", "status"):
        said = here(tmp_path, command, store.folder)
        assert said.code == 0 and "dropped: 4 trials" in said.out and "\x1b" not in said.out
    page = (store.folder / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page


def test_a_value_or_seed_that_a_file_no_longer_names_stays_away_once_its_trials_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "results"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    few = replace(STUDY, space={"mi_weight": choice(0)}, seeds=(0,))
    for study in (few, replace(STUDY, seeds=(0, 1))):
        vmi.run(study, results=root, local=True, name="s")
    assert here(tmp_path, "drop", root / "s", "--where", "mi_weight = 8 or seed = 1", "--yes").code == 0
    spec = Store(root, "s").read_study() or {}
    assert (spec["planned"], spec["seeds"], spec["space"]["mi_weight"]["values"]) == (1, [0], [0.0])
    assert len(vmi.run(few, results=root, local=True, name="s").trials) == 1
    everything = here(tmp_path, "drop", root / "s", "--where", "seed < 9", "--yes")
    assert everything.code == 0 and (Store(root, "s").read_study() or {})["seeds"] == [0]
    assert len(vmi.run(few, results=root, local=True, name="s").trials) == 1


def test_of_a_value_that_other_trials_have_nothing_is_asked_for_less(tmp_path: Path) -> None:
    root = tmp_path / "results"
    start(root)
    before = Store(root, "s").read_study()
    assert here(tmp_path, "drop", root / "s", "--where", "mi_weight = 8 and seed = 1", "--yes").code == 0
    assert Store(root, "s").read_study() == before
    assert "resuming: 3 of 4 trials are finished" in start(root)
