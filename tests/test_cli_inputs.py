"""Bad inputs through the real command line: refused by name before anything is started or written.

Covers 16 rows of the table of bad inputs: study file; unknown option; a continuous range given to the grid; trials;
steps; seeds; unknown data set; data set damaged; GPU that is not there; Ray address; results folder; study name taken;
corrupt part; study name; W&B online without a key; resume of a finished study. The other rows are those of a study's
fields, in tests/sweep/test_study.py.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from vmi.cli import app
from vmi.sweep.main import main
from vmi.sweep.study import load

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "sweeps" / "smoke.py"
SEARCH = ROOT / "sweeps" / "search.py"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Start = Callable[..., Said]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Start:
    """Run a study file's command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "300")

    def started(*arguments: object, script: Path = SMOKE) -> Said:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main(load(script))
        said = Said(int(ended.value.code or 0), *capsys.readouterr())
        assert "Traceback" not in said.out + said.err
        return said

    return started


@pytest.fixture
def finished(start: Start, tmp_path: Path) -> Path:
    """Results in which the smoke study is finished, with one seed and two steps."""
    said = start("--local", "--steps", "2", "--seeds", "1")
    assert said.code == 0, said.err
    return tmp_path / "results"


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and the time it was changed; W&B goes on writing logs of its own."""
    found = [p for p in root.rglob("*") if p.is_file() and "wandb" not in p.parts]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in found}


def one_line(text: str) -> str:
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


def test_every_bad_field_is_named_at_once(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    (tmp_path / "file").write_text("")
    bad = ("--steps", 0, "--seeds", "ten", "--data", "digit", "--pack-size", 0, "--gpus-per-pack", 2, "--local")
    said = start(*bad, "--address", "x", "--results", tmp_path / "file")
    assert said.code == 2
    options = ("--seeds", "--pack-size", "--gpus-per-pack", "--address")
    for field in ("fixed.steps", "fixed.dataset", *options, "WANDB_MODE", "results"):
        assert f"  {field} = " in said.err
    assert "8 problems" in said.err


def test_another_data_set_gives_the_study_another_name(start: Start) -> None:
    assert start("--local", "--data", "mnist", "--steps", "0").err.startswith("error: study 'smoke-mnist': 1 problem")


def test_data_is_not_fetched_for_a_run_that_is_refused_anyway(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMI_DATA_DIR", str(tmp_path / "data"))
    assert start("--local", "--data", "mnist", "--pack-size", "0").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there_is_refused_without_ray(start: Start, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    said = start("--local", "--gpus-per-pack", "1")
    assert said.code == 2 and "--gpus-per-pack = 1.0: 0: this machine has no GPU" in said.err
    assert list(tmp_path.iterdir()) == []


def in_a_process(folder: Path, *arguments: str) -> Said:
    command = [sys.executable, str(SMOKE), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_gpu_that_is_not_there_is_refused_through_ray(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    said = in_a_process(tmp_path, "--gpus-per-pack", "1")
    assert said.code == 2 and said.err.endswith("--gpus-per-pack = 1.0: 0: the Ray cluster has no GPU\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("server", ["absent", "silent", "http"])
def test_an_address_without_a_ray_cluster_is_refused_quickly(tmp_path: Path, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        if server == "absent":
            listening.close()
        if server == "http":
            replying = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", address.split(":")[1]]
            listening.close()
            other = subprocess.Popen(replying, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
        began = time.monotonic()
        try:
            said = in_a_process(tmp_path, "--address", address)
        finally:
            if server == "http":
                other.kill()
                other.wait()
    assert time.monotonic() - began < 30
    assert said.code == 2 and f"--address = '{address}': the address of a running Ray cluster" in said.err
    assert "Traceback" not in said.err and list(tmp_path.iterdir()) == []


def test_a_bad_ray_address_in_the_environment_is_named_as_such(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    said = start()
    assert said.code == 2 and "RAY_ADDRESS = '127.0.0.1:1'" in said.err


def test_a_nonsense_wandb_mode_is_refused(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    said = start("--local")
    assert said.code == 2 and "WANDB_MODE = 'onlin'" in said.err and "did you mean 'online'?" in said.err
    assert list(tmp_path.iterdir()) == []


def test_online_without_a_key_is_offline_and_says_so(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    said = start("--local", "--steps", "2", "--seeds", "1")
    assert said.code == 0 and said.out.startswith("note: WANDB_MODE is online but there is no API key")
    assert len(list((tmp_path / "results" / "smoke" / "wandb").glob("offline-run-*"))) == 2


def test_whatever_nobody_foresaw_is_one_line_without_debug(
    start: Start, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finished / "smoke" / "study.json").unlink()
    (finished / "smoke" / "study.json").mkdir()
    said = start("--local", "--steps", "2", "--seeds", "1")
    assert said.code in (1, 3) and said.err.startswith("error: ") and "study.json" in said.err


def vmi(*arguments: object) -> Said:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return Said(result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("x = (", "Python; line 1"),
        ("raise ValueError('bad luck')", "raises ValueError at line 1: bad luck"),
        ("x = 1", "it declares no `study`"),
    ],
)
def test_a_missing_or_broken_study_file_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    found = vmi("plan", path)
    assert found.code == 2 and said in found.err and str(path)[:30] in found.err
    assert "a folder" in vmi("plan", tmp_path).err


def test_a_plan_over_the_results_of_another_study_or_a_file_is_refused(start: Start, finished: Path) -> None:
    before = files(finished)
    said = vmi("plan", SMOKE, "--results", finished)
    assert said.code == 2 and "holds another study of this name" in said.err
    part = next((finished / "smoke" / "trials").iterdir())
    blocked = vmi("plan", SMOKE, "--results", part)
    assert blocked.code == 2 and "results = " in blocked.err and "is a file" in blocked.err
    assert files(finished) == before


def test_a_plan_counts_what_is_there_and_writes_nothing(tmp_path: Path) -> None:
    said = vmi("plan", SMOKE, "--results", tmp_path / "none")
    assert said.code == 0 and "smoke: 4 trials (grid, 2 seeds each) on digits" in said.out
    assert list(tmp_path.iterdir()) == []


def test_a_report_on_a_missing_folder_names_it_and_what_is_beside(start: Start, finished: Path) -> None:
    said = vmi("report", finished / "smoek")
    assert said.code == 2 and str(finished / "smoek") in said.err and "did you mean 'smoke'?" in said.err
    assert vmi("report", finished / "smoke" / "study.json").code == 2
    assert not (finished / "smoek").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["plan", str(SMOKE), "--results", "none"], ["plan", str(SEARCH)]])
def test_help_and_plan_load_neither_torch_nor_ray_nor_wandb(tmp_path: Path, arguments: list[str]) -> None:
    program = (
        "import sys\nfrom vmi.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print([name for name in ('torch', 'ray', 'wandb', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_of_a_study_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        f"import runpy, sys\nsys.argv = [{str(SMOKE)!r}, '--help']\n"
        f"try:\n    runpy.run_path({str(SMOKE)!r}, run_name='__main__')\nexcept SystemExit as ended:\n    pass\n"
        "print([name for name in ('torch', 'ray', 'wandb', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
