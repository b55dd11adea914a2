"""Images of a user's own through a run: one data set whatever they came from, kept beside results, seen by workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import here
from support.commands import vmi as command
from support.runs import inside, run, tables

import vmi
from vmi.driver.own_data import register_beside
from vmi.results.store import Store
from vmi.sources import kept
from vmi.spec.datasets import place_of
from vmi.spec.errors import StoreError

STUDY = """
import vmi
study = vmi.Study(name="own", fixed={"dataset": "photos.npz", "layout": "n2+c3*", "steps": 20},
                  space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""


def images(count: int = 90, side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Three kinds of noise, brighter from kind to kind."""
    numbers = np.random.default_rng(0)
    kinds = np.arange(count) % 3
    return (numbers.integers(0, 100, (count, side, side)) + 70 * kinds[:, None, None]).astype(np.uint8), kinds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    x, y = images()
    np.savez(folder / "photos.npz", images=x, labels=y)
    (folder / "study.py").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def through_ray(place: Path) -> Path:
    done = run(place / "study.py", "--results", place / "ray", cwd=place)
    assert done.code == 0 and "4 trained in this run" in done.out, done.err
    return place / "ray"


def test_workers_read_what_is_kept_and_arrays_and_another_format_find_the_same_trials(
    place: Path, through_ray: Path, tmp_path: Path
) -> None:
    x, y = images()
    study = vmi.Study(
        name="arrays", fixed={"dataset": vmi.Dataset.from_arrays(x[::-1], y[::-1]), "layout": "n2+c3*", "steps": 20},
        space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2),
    )  # fmt: skip
    apart = vmi.run(study, local=True, results=tmp_path)
    ours, theirs = tables(through_ray, "own"), tables(tmp_path, "arrays")
    for table, rows in ours.items():
        assert {k: v | {"study": ""} for k, v in rows.items()} == {
            k: v | {"study": ""} for k, v in theirs[table].items()
        }
    found = vmi.run(study, local=True, results=through_ray, name="again")
    assert set(found.trials.trial_id) == set(apart.trials.trial_id)
    assert {row["pack_id"] for row in Store(through_ray, "again").finished().values()} == {
        row["pack_id"] for row in Store(through_ray, "own").finished().values()
    }


def test_the_file_may_change_or_go_once_it_was_read_and_a_study_of_another_content_is_another(
    place: Path, through_ray: Path, tmp_path: Path
) -> None:
    x, y = images()
    np.savez(tmp_path / "photos.npz", images=x + np.uint8(1), labels=y)
    (tmp_path / "study.py").write_text(STUDY)
    done = inside(tmp_path / "study.py", "--results", through_ray, cwd=tmp_path)
    assert done.code == 2 and "dataset" in done.err and "holds another study" in done.err


def test_what_was_kept_and_is_no_longer_what_it_was_is_an_error_that_names_it(place: Path, tmp_path: Path) -> None:
    done = inside(place / "study.py", "--results", tmp_path, cwd=place)
    assert done.code == 0
    kept.register_kept(tmp_path)
    (name,) = (path.name for path in (tmp_path / kept.FOLDER).iterdir())
    assert place_of(name) == str(tmp_path / kept.FOLDER / name)
    assert kept.load(name).classes == ("0", "1", "2")
    pixels = tmp_path / kept.FOLDER / name / "train_pixels.npy"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="a file was changed"):
        kept.load(name)
    pixels.write_bytes(pixels.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"train_pixels\.npy"):
        kept.load(name)


def test_images_of_another_study_that_cannot_be_read_stop_nothing_and_a_folder_may_be_named_from_within(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inside(place / "study.py", "--results", tmp_path, cwd=place).code == 0
    (own,) = (path.name for path in (tmp_path / kept.FOLDER).iterdir())
    other = tmp_path / kept.FOLDER / "data-0123456789abcdef"
    other.mkdir()
    (other / kept.SPEC).write_text("{")
    known: list[str] = []
    monkeypatch.setattr(kept, "register", lambda spec, where: known.append(spec.name))
    (study,) = (path.parent for path in tmp_path.glob("*/study.json"))
    for where, below in ((study, "."), (tmp_path, study / "checkpoints" / "pack" / "1.pt")):
        monkeypatch.chdir(where)
        register_beside(Path(below))
        assert known == [own]
        known.clear()


def test_kept_images_that_may_not_be_read_are_left_out_and_a_store_that_stays_away_does_not_damage_them(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = images()
    own = kept.keep(vmi.Dataset.from_arrays(x, y), tmp_path)
    (tmp_path / kept.FOLDER / "data-0").mkdir()
    known, is_file = list[str](), Path.is_file

    def denied(path: Path, **more: bool) -> bool:
        if path.parent.name == "data-0":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path, **more)

    monkeypatch.setattr(kept, "register", lambda spec, where: known.append(where))
    monkeypatch.setattr(Path, "is_file", denied)
    kept.register_kept(tmp_path)
    assert known == [str(own)]

    def away(path: Path, **more: str) -> str:
        raise TimeoutError(f"{path}: no answer")

    monkeypatch.setattr(Path, "read_text", away)
    for action in (kept.register_kept, kept.damaged):
        with pytest.raises(TimeoutError):
            action(tmp_path)


@pytest.mark.parametrize("file", ["train_pixels.npy", "spec.json"])
def test_fsck_names_kept_images_that_were_changed_and_the_next_run_keeps_them_anew(
    place: Path, tmp_path: Path, file: str
) -> None:
    assert inside(place / "study.py", "--results", tmp_path, cwd=place).code == 0
    assert here(tmp_path, "fsck", tmp_path).code == here(tmp_path, "fsck", tmp_path / "own").code == 0
    (hurt,) = (tmp_path / kept.FOLDER).glob(f"*/{file}")
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[:-9] + b"x" * 9)
    for folder in (tmp_path, tmp_path / "own"):
        said = here(tmp_path, "fsck", folder)
        assert said.code == 3 and hurt.parent.name in said.err
    assert here(tmp_path, "fsck", tmp_path, "--quarantine").code == 0
    moved = tmp_path / "quarantine" / kept.FOLDER / hurt.parent.name / file
    assert moved.read_bytes() != whole and not hurt.exists()
    assert "nothing to train" in inside(place / "study.py", "--results", tmp_path, cwd=place).out
    assert hurt.read_bytes() == whole and here(tmp_path, "fsck", tmp_path).code == 0


def test_a_study_takes_images_by_its_command_line_and_is_called_by_them(place: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "sweeps" / "smoke.py"
    done = inside(script, "--data", place / "photos.npz", "--results", tmp_path, cwd=tmp_path)
    assert done.code == 0 and "smoke-photos: 4 trials = 4 trained" in done.out
    report = command(tmp_path, "report", tmp_path / "smoke-photos")
    assert report.code == 0 and (tmp_path / "smoke-photos" / "report.html").is_file()


@pytest.mark.parametrize("data", ["nothing.npz", "empty/", "photos.npz::5x5", "mnits"])
def test_what_is_no_data_set_ends_with_2_before_anything_is_written(data: str, place: Path, tmp_path: Path) -> None:
    (place / "empty").mkdir(exist_ok=True)
    script = Path(__file__).parents[2] / "sweeps" / "smoke.py"
    done = inside(script, "--data", data, "--results", tmp_path / "out", cwd=place)
    assert done.code == 2 and "dataset" in done.err and data.partition("::")[0].rstrip("/") in done.err
    assert not (tmp_path / "out").exists()


def test_a_kept_model_is_evaluated_on_its_own_images_and_on_others(place: Path, tmp_path: Path) -> None:
    done = inside(place / "study.py", "--results", tmp_path, "--keep-models", "--seeds", "1", cwd=place)
    assert done.code == 0, done.err
    row = next(iter(Store(tmp_path, "own").finished().values()))
    own = command(tmp_path, "evaluate", tmp_path / "own", "--member", row["trial_id"], "--seeds", "1")
    assert own.code == 0 and f"18 held-out images of {row['dataset']}" in " ".join(own.out.split())
    x, y = images(60)
    np.savez(place / "fewer.npz", images=x, labels=y)
    other = command(
        tmp_path, "evaluate", tmp_path / "own", "--member", row["trial_id"], "--seeds", "1",
        "--data", place / "fewer.npz",
    )  # fmt: skip
    assert other.code == 0 and "12 held-out images" in " ".join(other.out.split())


def test_what_is_kept_is_described_for_readers_of_any_kind(through_ray: Path) -> None:
    (folder,) = (through_ray / kept.FOLDER).iterdir()
    content = json.loads((folder / kept.SPEC).read_text())
    assert content["source"] == "photos.npz" and content["class_names"] == ["0", "1", "2"]
    assert np.load(folder / "train_pixels.npy").shape == (content["train_count"], 64)
