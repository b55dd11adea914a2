"""Study files: loaded by path, and what is wrong with one is said with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmi.spec.errors import InputError
from vmi.study.loading import load

GOOD = "from vmi.study.space import choice\nfrom vmi.study.study import Study\n"
ONE = "study = Study(name='a', space={'mi_weight': choice(0)})\n"


def test_load_reads_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "lambda.py"
    path.write_text(GOOD + ONE + "alias = study\nif __name__ == '__main__':\n    raise SystemExit(9)\n")
    assert load(path).name == "a"
    assert load(str(path)) == load(path)


def test_a_file_may_declare_dataclasses_whose_annotations_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "study.py"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    path.write_text(head + "@dataclass\nclass Mine:\n    width: int = 3\n" + GOOD + ONE)
    before = set(sys.modules)
    assert load(path).name == "a" and not [name for name in set(sys.modules) - before if "study_file" in name]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("", "it declares no `study`"),
        ("study = 3", "`study` is a int"),
        ("x = (", "Python; line 1: '(' was never closed"),
        ("\x00", "Python; "),
        ("\n\nraise RuntimeError('bad luck')", "raises RuntimeError at line 3: bad luck"),
        ("import no_such_module", "raises ModuleNotFoundError at line 1"),
        ("import sys\nsys.exit(3)", "raises SystemExit at line 2: 3"),
        (GOOD + ONE.replace("study =", "mine ="), "it declares no `study` (rename 'mine' to study)"),
        (GOOD + ONE + ONE.replace("study =", "other ="), "one study; it declares study, other"),
    ],
)  # fmt: skip
def test_load_says_what_is_wrong_and_where(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "lambda.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)
    assert str(path)[:40] in str(caught.value)


def test_load_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder"):
        load(tmp_path)
