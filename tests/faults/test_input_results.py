"""Rows of the table of bad inputs that need results to be there: what is refused leaves the store byte-identical."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from faults.starting import SMOKE, Said, elsewhere, files, study, vmi

from vmi.monitor.lock import Heartbeat
from vmi.results import parts
from vmi.results.schema import SCHEMA_VERSION, VERSION_KEY
from vmi.results.store import Store
from vmi.storage.checksum import sealed, unsealed

# The smoke study with one seed and two steps, as it is finished in `results`.
SAME = ("--local", "--steps", 2, "--seeds", 1)
READERS = (
    ("status", "results"), ("watch", "results/smoke"), ("report", "results/smoke"), ("mirror", "results/smoke"),
    ("compare", "results/smoke", "results/smoke"), ("presets", "results/smoke"),
    ("plan", SMOKE, "--steps", 2, "--seeds", 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    with elsewhere(folder):
        said = study(*SAME)
        assert said.code == 0, said.err
    return folder / "results"


@pytest.fixture
def results(kept: Path, tmp_path: Path) -> Iterator[Path]:
    """Results in which the smoke study is finished; the working folder is the one above."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copytree(kept, folder / "results")
    with elsewhere(folder):
        yield folder / "results"


def refused(results: Path, code: int, said: Callable[[], Said], *words: str) -> Said:
    """The command ends with this code and words, and changes no file."""
    before = files(results)
    found = said()
    assert found.code == code, found.all
    assert not [word for word in words if word not in found.err], found.err
    assert "Traceback" not in found.all and found.seconds < 30
    assert files(results) == before
    return found


def the_part(results: Path, table: str = "trials") -> Path:
    (part,) = (results / "smoke" / table).glob("part-*.parquet")
    return part


@pytest.mark.parametrize("below", [".", "deeper/still"])
def test_results_that_are_a_file_are_refused(below: str, tmp_path: Path) -> None:
    with elsewhere(tmp_path):
        (tmp_path / "results").write_text("mine")
        place = ("--results", f"results/{below}")
        for said in (lambda: study("--local", *place), lambda: vmi("plan", SMOKE, *place)):
            refused(tmp_path, 2, said, "results = ")


def test_a_name_that_another_study_has_is_refused_field_by_field(results: Path) -> None:
    other = ("--steps", 3, "--seeds", 2)
    said = ("holds another study of this name (choose another with --name): 1 problem",
            "  fixed.steps = 3: the stored study has 2")  # fmt: skip
    refused(results, 2, lambda: study("--local", *other), *said)
    refused(results, 2, lambda: vmi("plan", SMOKE, *other), *said)


def test_the_same_study_again_is_nothing_to_do_with_and_without_resume(results: Path) -> None:
    for more in ((), ("--resume",)):
        assert refused(results, 0, lambda more=more: study(*SAME, *more)).out.startswith("nothing to train")


@pytest.mark.parametrize(("name", "near"), [("smok", "did you mean 'smoke'?"), ("zzzzz", "there: smoke")])
def test_resume_begins_no_study_and_names_the_nearest(results: Path, name: str, near: str) -> None:
    refused(results, 2, lambda: study(*SAME, "--resume", "--name", name), f"--resume = {name!r}", near)
    refused(results, 2, lambda: study(*SAME, "--resume", "--results", "none"), "--resume", "there is none")


def test_trials_of_other_data_are_a_difference(results: Path) -> None:
    """As after a change of the data set under the same name: without a word, both would lie side by side."""
    rows = parts.read(results / "smoke" / "trials", "trials").table
    place = rows.schema.get_field_index("data_fingerprint")
    other = rows.set_column(place, rows.schema.field(place), pa.array(["ab" * 8] * rows.num_rows))
    the_part(results).unlink()
    parts.publish(results / "smoke" / "trials", other)
    for said in (lambda: study(*SAME), lambda: vmi("plan", SMOKE, "--steps", 2, "--seeds", 1)):
        refused(results, 2, said, "dataset = 'digits': content 3d91ba60b6729582", "trained on abababababababab")


def test_a_study_file_of_a_newer_version_is_a_difference_or_named(results: Path) -> None:
    path = results / "smoke" / "study.json"
    path.write_bytes(sealed(unsealed(path.read_bytes()) | {"vmi_study_version": 2}))
    refused(results, 2, lambda: study(*SAME), "vmi_study_version = 1: the stored study has 2")
    for command in ("report", "status", "watch", "mirror", "presets"):
        refused(results, 3, lambda command=command: vmi(command, "results/smoke"), "study version 2", str(path.name))


def test_a_part_of_a_newer_schema_names_the_version_needed(results: Path) -> None:
    part = the_part(results)
    rows = parts.read(part.parent, "trials").table
    newer = rows.replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION + 1)})
    part.unlink()
    name = parts.publish(part.parent, newer).name
    words = (name, f"needs a program that reads schema version {SCHEMA_VERSION + 1}")
    refused(results, 3, lambda: study(*SAME), *words)
    for command in READERS:
        refused(results, 3, lambda command=command: vmi(*command), *words)


@pytest.mark.parametrize("table", ["trials", "curves", "arrays"])
def test_a_damaged_part_is_named_and_kept_by_a_run(results: Path, table: str) -> None:
    part = the_part(results, table)
    part.write_bytes(part.read_bytes()[:-7])
    if table != "trials":  # the others are read where something is to be trained
        the_part(results).unlink()
    refused(results, 3, lambda: study(*SAME), str(part))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", marks=pytest.mark.faults, id="empty"),
        pytest.param(b"<!DOCTYPE html>", marks=pytest.mark.faults, id="html"),
        pytest.param(None, id="torn"),
    ],
)
def test_a_corrupt_part_is_3_for_every_command_and_the_rest_is_read(results: Path, content: bytes | None) -> None:
    part = the_part(results)
    damaged = part.with_name(f"part-{'0' * 32}.parquet")
    damaged.write_bytes(part.read_bytes()[:-7] if content is None else content)
    for command in READERS:
        before = files(results)
        said = vmi(*command)
        assert said.code == 3 and damaged.name in said.err and "Traceback" not in said.all, (command, said.all)
        after = files(results)
        assert {name: after.get(name) for name in before} == before
        assert set(after) - set(before) <= {"smoke/report.html"}
    page = (results / "smoke" / "report.html").read_text()
    assert damaged.name in page and "2" in page  # its two trials are drawn all the same
    assert "λ" in vmi("report", "results/smoke").out


def test_stray_files_are_ignored_with_a_count(results: Path) -> None:
    for name in (".DS_Store", ".tmp-0123", "notes.txt"):
        (results / "smoke" / "trials" / name).write_bytes(b"x")
    assert refused(results, 0, lambda: study(*SAME)).out.startswith("nothing to train")
    assert "2 of 2 trials finished" in vmi("status", "results").out
    assert "ignored: 3 files in the folders of tables" in vmi("report", "results/smoke").out


@pytest.mark.parametrize("text", ['{"name": "smo', "[]", '{"name": 5}', '{"name": "s", "space": {"a": {"values": 5}}}',
                                  '{"name": "s", "seeds": 3, "constraints": {"nmi": {"least": 1}}}'])  # fmt: skip
def test_a_study_file_of_another_shape_is_named_and_kept(results: Path, text: str) -> None:
    path = results / "smoke" / "study.json"
    path.write_bytes(sealed(json.loads(text)) if text.endswith("}") else text.encode())
    refused(results, 3, lambda: study(*SAME), str(path))
    for command in READERS[:-2]:
        refused(results, 3, lambda command=command: vmi(*command), "study.json")


def test_a_running_study_names_its_owner(results: Path) -> None:
    with Heartbeat(results / "smoke", "smoke"):
        before = {n: v for n, v in files(results).items() if not n.endswith("driver.json")}
        said = study(*SAME)
        assert said.code == 2 and "study = 'smoke': another driver runs it: pid" in said.err and "heartbeat" in said.err
        assert {n: v for n, v in files(results).items() if not n.endswith("driver.json")} == before


@pytest.mark.parametrize("command", ["report", "mirror", "presets", "compare"])
def test_a_folder_that_is_no_study_names_what_is_beside(results: Path, command: str) -> None:
    more = ("results/smoke",) if command == "compare" else ()
    refused(results, 2, lambda: vmi(command, "results/smoek", *more), "folder = 'results/smoek'", "'smoke'")
    refused(results, 2, lambda: vmi(command, "results/smoke/study.json", *more), "folder = ")


@pytest.mark.parametrize("below", ["", "/deeper"])
@pytest.mark.parametrize(
    "command",
    [("status",), ("watch",), ("watch", "--page"), ("report",), ("mirror",), ("compare", "results/smoke"), ("presets",),
     ("compact",), ("fsck",), ("drop", "--where", "seed = 0", "--yes"), ("stop", "--where", "seed = 0", "--yes"),
     ("export", "--csv", "new.csv"), ("rerun", "0" * 16), ("evaluate",)],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_file_in_place_of_results_is_a_bad_input_and_no_damaged_store(
    results: Path, command: tuple[str, ...], below: str
) -> None:
    (results / "mine").write_text("mine")
    name, *more = command
    said = refused(results, 2, lambda: vmi(name, f"results/mine{below}", *more), "results/mine")
    allowed = ("a study's results", "a checkpoint (.pt)", "a path that can be used")
    assert any(f": {words}" in said.err for words in allowed), said.err


@pytest.mark.parametrize(
    ("command", "name"),
    [(("status", ""), "FOLDER"), (("fsck", "", "--quarantine"), "FOLDER"), (("report", " "), "FOLDER"),
     (("drop", "", "--where", "seed = 0", "--yes"), "FOLDER"), (("evaluate", ""), "MODEL"),
     (("compare", "results/smoke", ""), "SECOND"), (("plan", SMOKE, "--results", ""), "--results")],
)  # fmt: skip
def test_no_results_are_not_the_current_folder(results: Path, command: tuple[str, ...], name: str) -> None:
    with elsewhere(results / "smoke"):
        refused(results, 2, lambda: vmi(*command), f"  {name} = '", "'.' is the current folder")


def test_evaluate_without_a_model_says_how_to_keep_one(results: Path) -> None:
    refused(results, 2, lambda: vmi("evaluate", "results/smoke"), "--keep-models")
    refused(results, 2, lambda: vmi("evaluate", "results/smoke/study.json"), "a checkpoint (.pt) of a pack")


def test_an_output_that_cannot_be_written_is_refused(results: Path) -> None:
    command = ("compare", "results/smoke", "results/smoke", "--out", "nowhere/x.md")
    refused(results, 2, lambda: vmi(*command), "--out = 'nowhere/x.md': a file that can be written")


def test_adopted_rows_are_no_way_around_a_damaged_neighbour(results: Path) -> None:
    """Another study of the same results with a damaged part is passed over, and kept."""
    part = the_part(results)
    part.write_bytes(part.read_bytes()[:-7])
    before = part.read_bytes()
    said = study("--local", "--steps", 2, "--seeds", 1, "--name", "other")
    assert said.code == 0 and part.read_bytes() == before
    assert len(Store(results, "other").finished()) == 2
