"""`vmi export RESULTS --csv FILE --optuna FILE`: a study for other tools, and what is refused."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.commands import here
from support.runs import trained

import vmi

STUDY = vmi.Study(
    name="s",
    fixed={"steps": 20, "hidden": "16-8", "batch_size": 64},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> vmi.Results:
    root = tmp_path_factory.mktemp("export")
    trained(STUDY, root)
    return trained(STUDY, root, seeds=3)


def test_both_tables_are_written_and_read_by_the_tools_they_are_for(results: vmi.Results, tmp_path: Path) -> None:
    said = here(tmp_path, "export", results.folder, "--csv", "trials.csv", "--optuna", "study.log")
    assert said.code == 0 and "optuna-dashboard" in said.out
    found, trials = pandas.read_csv(tmp_path / "trials.csv").set_index("trial_id"), results.trials.set_index("trial_id")
    assert list(found["nmi"]) == list(trials.loc[found.index, "nmi"]) and list(found.columns) == list(trials.columns)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.load_study(study_name="s", storage=storage)
    means = trials.groupby("mi_weight")["accuracy_majority"].mean()
    assert {t.params["mi_weight"]: t.value for t in study.trials} == pytest.approx(dict(means))
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], ["TRIAL_ID", "--csv FILE or --optuna FILE"]),
        (["abc"], ["DIR", "the folder for the model"]),
        (["--csv", "there.csv", "--optuna", "there.csv"], ["--csv", "--optuna", "does not exist yet"]),
        (["--csv", "new.csv", "--onnx"], ["--onnx", "only with a trial"]),
        (["--csv", "there.csv/new.csv"], ["--csv", "a file in a folder", "there.csv is a file"]),
        (["--csv", "new.csv", "--optuna", "there.csv/new.log"], ["--optuna", "there.csv is a file"]),
        (["--csv", "new.csv", "--optuna", "./new.csv"], ["--optuna", "another place than --csv"]),
        (["abc", "new", "--csv", "folder/../new"], ["--csv", "another place than DIR"]),
        (["--csv", ""], ["--csv"]),
    ],
)
def test_what_cannot_be_exported_is_refused_and_writes_nothing(
    results: vmi.Results, tmp_path: Path, given: list[str], said: list[str]
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    refused = here(tmp_path, "export", results.folder, *given)
    assert refused.code == 2 and all(word in refused.err for word in said), refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_folder_that_is_no_study_s_names_the_nearest(results: vmi.Results, tmp_path: Path) -> None:
    refused = here(tmp_path, "export", results.folder.parent / "ss", "--csv", "new.csv")
    assert refused.code == 2 and "did you mean 's'?" in refused.err and not list(tmp_path.iterdir())
