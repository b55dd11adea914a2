"""Rows of the table of bad inputs about files and folders: study files, data sets, disks, W&B, secrets, odd pages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.starting import SMOKE, files, study, vmi, written

from tests.analysis.cases import CASES

SECRET = "5ca1ab1e" * 5  # forty hexadecimal digits, as an older key of W&B has
BROKEN = {
    "missing": (None, "no such file"),
    "not Python": ("x = (", "Python; line 1"),
    "a null byte": ("\0", "Python; "),
    "raises": ("\nraise ValueError('bad luck')", "raises ValueError at line 2: bad luck"),
    "exits": ("raise SystemExit(0)", "raises SystemExit at line 1"),
    "no import": ("import no_such_module", "raises ModuleNotFoundError at line 1"),
    "no study": ("x = 1", "it declares no `study`"),
    "another thing": ("study = 3", "`study` is a int"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_study_file_that_is_none_says_which_and_where(work: Path, kind: str) -> None:
    content, words = BROKEN[kind]
    path = work.parent / "mine.py"
    if content is not None:
        path.write_text(content)
    (work.parent / "place.yaml").write_text("provider: {type: local}\n")
    commands = (("plan", path), ("calibrate", path), ("submit", work.parent / "place.yaml", path, "--dry-run"))
    for command in commands:
        said = vmi(*command)
        assert said.code == 2 and words in said.err and "mine.py" in said.err and "Traceback" not in said.all, said.all
    assert "a folder" in vmi("plan", work).err
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["<!DOCTYPE html>", "", "\0\0\x08\x03 truncated"], ids=["html", "empty", "truncated"]
)
def test_data_that_is_something_else_is_named_kept_and_the_fetching_said(
    work: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    folder = work / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_text(content)
        (folder / f"{split}-labels-idx1-ubyte").write_text(content)
    monkeypatch.setenv("VMI_DATA_DIR", str(work / "data"))
    before = files(work)
    said = study("--local", "--data", "mnist")
    assert said.code == 2 and "4 problems" in said.err
    assert str(folder / "train-images-idx3-ubyte") in said.err and f"({len(content)} bytes)" in said.err
    assert "MD5 6bbc9ace898e44ae57da46a324031adb" in said.err and "found " in said.err
    assert "the file was kept; remove it to fetch it again" in said.err
    assert files(work) == before


def test_data_that_is_absent_without_a_network_says_where_and_how_to_fetch(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMI_DATA_DIR", str(work / "data"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nothing listens there: the network is gone
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    said = study("--local", "--data", "mnist")
    assert said.code == 2 and "train-images-idx3-ubyte is absent and could not be downloaded" in said.err
    assert "VMI_DATA_DIR" in said.err and said.seconds < 30
    assert not (work / "results").exists()


def test_data_is_not_fetched_for_a_run_that_is_refused_anyway(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMI_DATA_DIR", str(work / "data"))
    assert study("--local", "--data", "mnist", "--pack-size", "0").code == 2
    assert list(work.iterdir()) == []


@pytest.fixture
def disk(work: Path) -> Iterator[Path]:
    """A small file system of its own at `work`/disk."""
    place = work / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root, and a kernel that lets it mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_refused_before_any_trial(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    before = files(disk)
    said = study("--local", "--results", disk)
    assert said.code == 2 and f"results = '{disk}': a folder that can be written to" in said.err
    assert "No space left on device" in said.err and files(disk) == before
    assert vmi("plan", SMOKE, "--results", disk).code == 0  # which writes nothing


@pytest.mark.faults
def test_a_disk_that_is_read_only_is_refused_and_still_read(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")  # its client keeps files open
    assert study("--local", "--steps", 2, "--seeds", 1, "--results", disk).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    before = files(disk)
    said = study("--local", "--results", disk, "--name", "new")
    assert said.code == 2 and "a folder that can be written to" in said.err and "Read-only file system" in said.err
    said = vmi("report", disk / "smoke")
    assert said.code == 2 and "Read-only file system" in said.err, said.all
    assert "smoke: 2 of 2 trials" in vmi("status", disk).out
    assert files(disk) == before


def test_wandb_online_without_a_key_is_offline_and_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    said = study("--local", "--steps", 2, "--seeds", 1)
    assert said.code == 0 and said.out.startswith("note: WANDB_MODE is online but there is no API key")
    assert len(list((work / "results" / "smoke" / "wandb").glob("offline-run-*"))) == 2
    for command in (("mirror", "results/smoke", "--online", "a/b"), ("report", "results/smoke", "--wandb", "a/b")):
        refused = vmi(*command)
        assert refused.code == 2 and "WANDB_API_KEY = ''" in refused.err


def test_a_nonsense_wandb_mode_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    said = study("--local")
    assert said.code == 2 and "WANDB_MODE = 'onlin'" in said.err and "did you mean 'online'?" in said.err
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("fields", [
    "fixed={'wandb_api_key': KEY}", "fixed={'preset': KEY}", "fixed={KEY: 1}", "space={'api_key': choice(KEY)}",
    "space={'layout': choice('n16+c10*', KEY)}", "space={'token': KEY}", "name=KEY", "metric=KEY", "searcher=KEY",
    "baseline={'password': KEY}", "scales={'a': {'secret': KEY}}", "objectives={KEY: 'maximize', 'nmi': KEY}",
    "conditions={'mi_weight': {KEY: (KEY,)}}", "seeds=KEY", "wandb_key=KEY", "space={'mi_weight': {'token': KEY}}",
    "fixed=[{'password': KEY}]", "direction={'key': 'short123'}",
    "name='x', fixed={'aws_secret_access_key': 'short123'}",
])  # fmt: skip
def test_a_key_in_the_configuration_is_refused_and_its_value_not_echoed(work: Path, fields: str) -> None:
    path = written(work.parent, fields.replace("KEY", repr(SECRET)))
    for said in (study("--local", script=path), study("--local", "--debug", script=path), vmi("plan", path)):
        assert said.code == 2, said.all
        assert SECRET not in said.all and SECRET[:12] not in said.all and "short123" not in said.all, said.all
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ("--wandb-api-key", "KEY"), ("--wandb-api-key=KEY",), ("--name", "KEY"), ("--data", "KEY"), ("--scale", "KEY"),
    ("--steps", "KEY"), ("--seeds", "KEY"), ("--address", "ray://me:KEY@127.0.0.1:1"), ("--token", "hunter2hunter2"),
    ("--results", "s3://me:hunter2hunter2@bucket/x"), ("--gpus-per-pack", "KEY"),
])  # fmt: skip
def test_a_key_on_the_command_line_is_refused_and_not_echoed(work: Path, arguments: tuple[str, ...]) -> None:
    given = [argument.replace("KEY", SECRET) for argument in arguments]
    said = study("--local", *given)
    assert said.code == 2 and SECRET not in said.all and "hunter2" not in said.all, said.all
    assert list(work.iterdir()) == []


def test_a_secret_of_the_environment_is_not_echoed_whatever_it_looks_like(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "open sesame")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p4ssw0rd%21@127.0.0.1:1")
    said = study("--local", "--data", "open sesame", "--name", "p4ssw0rd%21", "--scale", "p4ssw0rd!")
    assert said.code == 2 and "3 problems" in said.err
    assert not [secret for secret in ("open sesame", "p4ssw0rd") if secret in said.all], said.all


def test_every_trial_failed_is_1_with_the_commonest_causes_and_a_report_all_the_same(work: Path) -> None:
    path = written(
        work.parent, "name='f', space={'mi_weight': choice(1e6, 9e5)}, fixed={'learning_rate': 10, 'kl_weight': 1e6}"
    )
    said = study("--local", "--steps", 20, script=path)
    assert said.code == 1 and "4 failed: " in said.out and "was not finite at step" in said.out
    assert "best" not in said.out and "Traceback" not in said.all
    page = vmi("report", "results/f")
    assert page.code == 0 and "4 trials failed" in page.out and "nothing to compare" in page.out
    assert "was not finite at step" in (work / "results" / "f" / "report.html").read_text()


SAYS = {
    "none": ("No trial has finished yet", "50 of 50"),
    "one": ("1 seed, so no interval", "49 of 50"),
    "one_seed": ("One seed per setting: no interval can be given",),
    "all_equal": ("All trials have the very same score",),
    "all_failed": ("None of the", "was completed"),
}


@pytest.mark.parametrize("case", SAYS)
def test_a_report_on_little_or_nothing_is_a_page_that_says_so(case: str, tmp_path: Path) -> None:
    folder = CASES[case](tmp_path)
    said = vmi("report", folder)
    page = (folder / "report.html").read_text()
    assert said.code == 0 and "Traceback" not in said.all
    missing = [words for words in SAYS[case] if words not in said.out and words not in page]
    assert not missing, said.out


@pytest.mark.faults
@pytest.mark.parametrize("case", ["hostile", "hostile_name", "hostile_goals"])
def test_hostile_text_of_a_store_reaches_no_terminal(case: str, tmp_path: Path) -> None:
    folder = CASES[case](tmp_path)
    commands = (("report", folder), ("status", folder), ("compare", folder, folder), ("presets", folder))
    for command in commands:
        said = vmi(*command)
        assert said.code in (0, 2) and "Traceback" not in said.all, (command, said.all)
        assert all(c.isprintable() or c == "\n" for c in said.all), command
