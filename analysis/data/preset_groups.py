"""Presets side by side: the settings of a study that differ in their preset alone, and the rows of one seed of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.data import labels
from analysis.data.mi_checks import layout_of, primary
from analysis.data.settings import Setting, gathered, settings
from analysis.data.study_results import StudyResults
from vmi.spec import layout as latents
from vmi.spec.restarts import Group as SeedGroup
from vmi.spec.trial import Row

# Without the regulariser, as the paper's text has it, and with the code's entropy estimated.
PRESETS = ("vae", "paper", "corrected")


class Group(NamedTuple):
    """Settings of one data set and layout by preset, in the order of PRESETS; `name` tells groups apart."""

    name: str
    dataset: str
    layout: str
    settings: Mapping[str, Setting]

    def block(self, kind: str) -> latents.Block | None:
        """The primary block of a kind; None where the layout has none."""
        return primary(self.row, kind)

    @property
    def informed(self) -> latents.Block | None:
        """The block whose MI is maximised: the categorical one where both are."""
        blocks = [b for kind in ("c", "n") if (b := self.block(kind)) is not None and b.informed]
        return blocks[0] if blocks else None

    @property
    def row(self) -> Row:
        return next(iter(self.settings.values())).rows[0]

    def label(self, preset: str) -> str:
        """ "paper: λ = 2, η = 0", with the λ of the informed block; η says nothing where λ = 0."""
        row = self.settings[preset].rows[0]
        block = self.informed
        weight = row.get("mi_weight_normal" if block is not None and not block.is_categorical else "mi_weight")
        weight = row.get("mi_weight") if weight is None else weight
        entropy = f", η = {labels.value(row.get('entropy_weight'))}" if weight else ""
        return f"{preset}: λ = {labels.value(weight)}{entropy}"

    def seeds(self) -> SeedGroup | None:
        """The lowest seed that every preset of the group has, or group of restarts; None where they share none."""
        return min(set.intersection(*(set(s.by_group) for s in self.settings.values())), default=None)

    def rows(self) -> Mapping[str, Row]:
        """One row per preset: of the shared seed or group, or the first of each where none is shared."""
        seeds = self.seeds()
        return {p: s.by_group[min(s.by_group) if seeds is None else seeds] for p, s in self.settings.items()}


def groups(results: StudyResults) -> tuple[Group, ...]:
    """The groups of a study that varies its preset, with what was completed; none where it does not vary it.

    None either without a completed trial of `paper` or `corrected`: there is then nothing to compare.
    """
    if len(asked(results)) < 2:
        return ()
    able = [s for s in settings(results.compared, results.spec) if _of(s) in PRESETS and layout_of(s.rows[0])]
    found = [(others, {_of(s): s for s in members}) for others, members in side_by_side(able)]
    if not any({"paper", "corrected"} & set(members) for _, members in found):
        return ()
    return tuple(_group(others, members) for others, members in found)


def side_by_side(found: Sequence[Setting]) -> list[tuple[str, list[Setting]]]:
    """Settings that are equal in all but their preset, and in what (data set and layout aside).

    A preset without a parameter that is searched for others alone is beside all their values of it.
    """
    names = [n for n, _ in found[0].params if n != "preset"] if found else []
    groups = gathered((tuple(s.get(n) for n in names), s) for s in found)
    return [(_others(dict(zip(names, key, strict=True))), members) for key, members in groups.items()]


def _others(params: Mapping[str, object]) -> str:
    rest = [(n, v) for n, v in params.items() if n not in ("dataset", "layout") and v is not None]
    return "".join(f", {labels.symbol(n)} = {labels.value(v)}" for n, v in rest)


def _of(setting: Setting) -> str:
    return str(setting.rows[0]["preset"])


def asked(results: StudyResults) -> tuple[str, ...]:
    """Those of PRESETS that the study's space lists."""
    values = results.spec.get("space", {}).get("preset", {}).get("values", [])
    return tuple(preset for preset in PRESETS if preset in values)


def absent(group: Group, presets: Sequence[str]) -> list[str]:
    return [preset for preset in presets if preset not in group.settings]


def _group(others: str, members: Mapping[str, Setting]) -> Group:
    ordered = {preset: members[preset] for preset in PRESETS if preset in members}
    row = next(iter(ordered.values())).rows[0]
    dataset, layout = (labels.value(row[name]) for name in ("dataset", "layout"))
    return Group(f"{dataset}, {layout}{others}", dataset, layout, ordered)
