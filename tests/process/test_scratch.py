"""A run's temporary folder: it goes with its owner, and what a killed owner has left goes with the next start."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from support.owned import short_folder

from vmi.cli.run import guarded
from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.process.scratch import PREFIX, clear, outside, scratch
from vmi.results.store import Store
from vmi.spec.errors import InputError
from vmi.study.space import choice
from vmi.study.study import Study

# The folder of a test session may be too long for Ray, and then /tmp stands in for it.
LONG = "from vmi.process import scratch; scratch._RAY_BYTES = 1000\n"
OWNER = f"{LONG}import sys\nwith scratch.scratch() as folder: print(folder, flush=True); sys.stdin.read()"
MANY = f"""{LONG}
for _ in range(50):
    with scratch.scratch() as folder:
        (folder / "mine").touch()
        scratch.clear(folder.parent)
        assert {{path.name for path in folder.iterdir()}} == {{"lock", "mine"}}
"""
# Another start clears once before the lock is there, and once before it is held.
RACED = f"""{LONG}
import os, sys
from pathlib import Path
moments = ["open", "fcntl.flock"]
def clears(event, arguments):
    if event in moments and (event != "open" or str(arguments[0]).endswith("/lock")):
        moments.remove(event)
        scratch.clear(Path(os.environ["TMPDIR"]))
sys.addaudithook(clears)
with scratch.scratch() as folder:
    print(moments, [path.name for path in folder.iterdir()], len(list(folder.parent.iterdir())))
"""
SMALL = Study(name="s", fixed={"hidden": "8", "steps": 4}, space={"mi_weight": choice(0)}, seeds=range(2))
FAILING = Study(name="s", fixed={"steps": 20, "learning_rate": 10.0}, space={"mi_weight": choice(1e6)}, seeds=range(2))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made, which is empty; pytest's own folder is elsewhere by then."""
    assert tmp_path
    folder = short_folder()
    for name in ("RAY_TMPDIR", "RAY_AUTH_TOKEN_PATH", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr("vmi.process.scratch._RAY_BYTES", 1000)
    return folder


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a scratch folder until its input ends, and that folder."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_killed_owner_s_folder_goes_with_the_next_start_and_a_living_one_s_stays(root: Path) -> None:
    with owner() as (killed, left), owner() as (living, held):
        killed.kill()
        killed.wait()
        assert left.parent == held.parent == root and left.is_dir()
        with scratch() as own:
            assert set(root.iterdir()) == {held, own}
        living.communicate()
        assert living.returncode == 0
    assert not list(root.iterdir())


def test_one_that_was_killed_before_it_had_its_lock_leaves_nothing_either(root: Path) -> None:
    (root / f"{PREFIX}early").mkdir()
    (root / f"{PREFIX}later").mkdir()
    (root / f"{PREFIX}later" / "lock").touch()
    clear(root)
    assert not list(root.iterdir())


def test_what_is_not_surely_ours_stays(root: Path, tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (root / f"{PREFIX}link").symlink_to(tmp_path)
    (root / f"{PREFIX}file").touch()
    (root / f"{PREFIX}full").mkdir()
    (root / f"{PREFIX}full" / "something").touch()  # without a lock
    (root / "else").mkdir()
    (root / "else" / "lock").touch()
    before = set(root.iterdir())
    clear(root)
    assert set(root.iterdir()) == before and (tmp_path / "lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_user_s_folder_stays(root: Path) -> None:
    folder = root / f"{PREFIX}theirs"
    folder.mkdir()
    (folder / "lock").touch()
    os.chown(folder, 65534, 65534)
    clear(root)
    assert (folder / "lock").exists()


def test_starts_at_one_time_take_nothing_from_each_other(root: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", MANY], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(each.communicate()[1], each.returncode) for each in running] == [(b"", 0)] * 4
    assert not list(root.iterdir())


def test_a_start_whose_folder_another_one_clears_before_it_is_locked_makes_a_new_one(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RACED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] ['lock'] 1\n", "")
    assert not list(root.iterdir())


def test_the_environment_is_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("RAY_TMPDIR", str(root / "ray's"))
    before, python_s = dict(os.environ), tempfile.gettempdir()
    with scratch() as folder:
        assert (folder.parent, folder.stat().st_mode & 0o777) == (root / "ray's", 0o700)
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == os.environ["RAY_TMPDIR"] == str(folder)
        assert outside() == root / "ray's"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(folder / "token")
    assert dict(os.environ) == before and tempfile.gettempdir() == python_s
    assert not list((root / "ray's").iterdir())


def test_wandb_keeps_in_it_what_no_home_can_keep(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for name, value in {"XDG_CACHE_HOME": "", "XDG_DATA_HOME": "", "HOME": str(tmp_path / "file")}.items():
        monkeypatch.setenv(name, value)
    with scratch() as folder:
        assert os.environ["WANDB_CACHE_DIR"] == os.environ["WANDB_DATA_DIR"] == str(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    with scratch():
        assert not {"WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"} & set(os.environ)


def test_a_folder_that_is_too_long_for_ray_s_sockets_is_left_for_tmp(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with monkeypatch.context() as changed:
        changed.setenv("RAY_TMPDIR", str(root / ("x" * 30)))
        with scratch() as folder:
            assert folder.parent == Path("/tmp")
    assert not folder.exists() and not list(root.iterdir())


def test_a_folder_that_cannot_be_used_is_named_with_2_before_anything_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(root / "file"))
    with pytest.raises(InputError):
        launch(SMALL, RunOptions(results=tmp_path / "r", local=True), Console(file=io.StringIO()))
    assert guarded(lambda: launch(SMALL, RunOptions(results=tmp_path / "r", local=True), Console())) == 2
    assert f"RAY_TMPDIR = '{root / 'file'}': a folder" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "r").exists() and [path.name for path in root.iterdir()] == ["file"]


class Signalled(io.StringIO):
    """Each of these signals comes as soon as something is said, while the run has its folder."""

    def __init__(self, root: Path, numbers: Sequence[int]) -> None:
        super().__init__()
        self._root, self._numbers, self.seen = root, list(numbers), 0

    def write(self, text: str) -> int:
        written = super().write(text)
        self.seen += len(list(self._root.glob(f"{PREFIX}*/lock")))
        if self._numbers:
            signal.raise_signal(self._numbers.pop(0))
        return written


@pytest.mark.parametrize(
    ("study", "numbers", "code", "stored"),
    [
        (SMALL, [], 0, 2),
        (FAILING, [], 1, 2),
        (SMALL, [signal.SIGHUP], 0, 2),
        (SMALL, [signal.SIGINT], 130, 0),
        (SMALL, [signal.SIGTERM], 143, 0),
        (SMALL, [signal.SIGINT, signal.SIGINT], 130, 0),
    ],
)
def test_nothing_is_left_however_a_run_ends_and_a_hang_up_ends_none(
    study: Study,
    numbers: list[int],
    code: int,
    stored: int,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    said = Signalled(root, numbers)
    options = RunOptions(results=tmp_path, local=True, gpus_per_pack=0)
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)  # else one that is heard ends the test session
    try:
        assert guarded(lambda: launch(study, options, Console(file=said, width=200))) == code
    finally:
        assert signal.signal(signal.SIGHUP, before) == signal.default_int_handler
    assert len(Store(tmp_path, "s").finished()) == stored
    assert said.seen and not list(root.iterdir())
