"""The packs in models/: which trials each has, and which go where the best trial of each setting is to stay.

Beside a pack, NAME.pt, lies the list of its trials, NAME.json: the driver thins packs without reading them. A list is
there before its pack and goes after it. A pack without one, of an earlier version, always stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import put_replacing

PACK, LIST = ".pt", ".json"


class Listed(NamedTuple):
    """A pack by its name: the setting (its suggestion's id) of each of its trials, and whether it is there."""

    name: str
    settings: Mapping[str, str]
    is_there: bool


def write_list(store: Store, name: str, trials: Iterable[Trial]) -> None:
    """Say which trials the pack will have that is about to be put under this name. Raises OSError."""
    settings = {trial.trial_id: trial.config.suggestion_id for trial in trials}
    put_replacing(store.models, f"{name}{LIST}", sealed({"settings": settings}), store.files)


class KeptModels:
    """The listed packs of a store's study; a list is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists: dict[str, Mapping[str, str]] = {}

    def thin(self, losses: Mapping[str, float | None]) -> None:
        """Remove each pack that has no trial which is the best of its setting. Raises OSError.

        `losses` has every finished trial, None for one that did not complete; the lowest is the best, of equal ones
        that of the lowest id. A pack with an unfinished trial stays.
        """
        packs = self._read()
        wanted = set(_holders(packs, losses).values())
        for pack in packs:
            if pack.name not in wanted and pack.settings.keys() <= losses.keys():
                self._remove(pack)

    def _read(self) -> list[Listed]:
        try:
            names = set(self._store.files.names(self._store.models))
        except FileNotFoundError:
            return []
        lists = sorted(name.removesuffix(LIST) for name in names if name.endswith(LIST) and not name.startswith("."))
        return [Listed(n, settings, f"{n}{PACK}" in names) for n in lists if (settings := self._list(n)) is not None]

    def _list(self, name: str) -> Mapping[str, str] | None:
        """None of a damaged one, whose pack stays."""
        if name not in self._lists:
            try:
                content = unsealed(self._store.files.read(self._store.models / f"{name}{LIST}"))
                self._lists[name] = dict(content["settings"])
            except (ValueError, KeyError, TypeError):
                return None
        return self._lists[name]

    def _remove(self, pack: Listed) -> None:
        for ending in (PACK, LIST) if pack.is_there else (LIST,):
            self._store.files.unlink(self._store.models / f"{pack.name}{ending}")
        del self._lists[pack.name]


def _holders(packs: Sequence[Listed], losses: Mapping[str, float | None]) -> dict[str, str]:
    """The name of the first pack that has the best trial of each setting, of those trials whose model is there."""
    best: dict[str, tuple[float, str]] = {}
    for pack in (pack for pack in packs if pack.is_there):
        for trial_id, setting in pack.settings.items():
            if (loss := losses.get(trial_id)) is not None:
                own = (math.inf if math.isnan(loss) else loss, trial_id)
                best[setting] = min(best.get(setting, own), own)
    ids = {trial_id for _, trial_id in best.values()}
    return {i: pack.name for pack in reversed(packs) if pack.is_there for i in pack.settings if i in ids}
