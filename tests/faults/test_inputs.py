"""Every row of the table of bad inputs, through the real command lines: refused by name, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.input_rows import ROWS, Command, Options, Variant
from faults.starting import SEARCH, SMOKE, Said, elsewhere, files, study, vmi, written

SECONDS = 30


# Rows of hundreds of variants, of which each goes through one of the two command lines in turn.
LONG = ("weights and temperatures", "layouts")


def tried(variant: Variant, folder: Path, lines: tuple[str, ...]) -> list[Said]:
    """The variant through the command lines that take it, in an empty folder."""
    if isinstance(variant, Options):
        return [study(*variant.arguments)]
    if isinstance(variant, Command):
        paths = {"SMOKE": str(SMOKE), "SEARCH": str(SEARCH)}
        return [vmi(*(paths.get(argument, argument) for argument in variant.arguments))]
    path = written(folder.parent, variant.text)
    return [study("--local", script=path) if line == "run" else vmi("plan", path) for line in lines]


def wrong_with(said: Said, variant: Variant) -> list[str]:
    """What a refusal lacks."""
    found = [] if said.code == 2 else [f"exit code {said.code}"]
    found += [f"no {word!r}" for word in variant.words if word not in said.err]
    found += ["a traceback"] if "Traceback" in said.all else []
    found += ["a control character"] if not all(c.isprintable() or c == "\n" for c in said.all) else []
    found += [f"{said.seconds:.0f} s"] if said.seconds > SECONDS else []
    return found


@pytest.mark.parametrize("row", ROWS)
def test_every_variant_of_a_row_is_refused_by_name_and_nothing_is_left(row: str, tmp_path: Path) -> None:
    """Exit code 2, the words that say what is allowed, no traceback, within 30 s, not one file."""
    failures = []
    folder = tmp_path / "work"
    folder.mkdir()
    tries = 0
    with elsewhere(folder):
        for index, variant in enumerate(ROWS[row]):
            lines = (("run", "plan")[index % 2],) if row in LONG else ("run", "plan")
            for said in tried(variant, folder, lines):
                tries += 1
                lacks = wrong_with(said, variant) + [f"left {name}" for name in files(folder)]
                failures += [f"{variant}: {', '.join(lacks)}\n{said.all}"] if lacks else []
    print(f"inputs: {row}: {len(ROWS[row])} variants, {tries} tries, {len(failures)} failed")
    assert not failures, "\n".join(failures)
