"""What trials under way have reported so far: checkpoints/<pack_id>/live-<number>-<hash>.parquet, newest counts.

A worker writes it with each checkpoint: rows as those of `curves`, and in the file's metadata which trials the pack
trains and how far each is. It is a view of a run and never a result: a trial is finished once it has a row, and what is
here of it counts no more. It goes with the pack's checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vmi.in_flight.checkpoints import Checkpoints, packs_begun
from vmi.results.parts import encode
from vmi.results.schema import version_of
from vmi.results.store import Store
from vmi.spec.config import FIELD_TYPES
from vmi.spec.trial import Row, Trial, row_of

KEY = b"vmi_live"


@dataclass(frozen=True, kw_only=True)
class Live:
    """A pack under way, as its last checkpoint left it.

    Attributes:
        pack_id: the pack
        attempt: which start of the study's run trains it
        steps: how many steps its trials are trained
        trials: of each trial without a row its ids, configuration and `step`, as a row of `trials` names them
        curves: its reports, as rows of the table `curves`
    """

    pack_id: str
    attempt: int
    steps: int
    trials: tuple[Row, ...]
    curves: pa.Table

    def reports(self, trial_ids: Collection[str]) -> dict[str, list[Row]]:
        """The rows of `curves` of those of these trials that have reported something."""
        found: dict[str, list[Row]] = {}
        wanted = pc.is_in(self.curves["trial_id"], pa.array([*trial_ids], pa.string()))
        for row in self.curves.filter(wanted).to_pylist():
            found.setdefault(row["trial_id"], []).append(row)
        return found


def encoded(
    pack_id: str, attempt: int, steps: int, standing: Mapping[str, int], trials: Sequence[Trial], curves: pa.Table
) -> bytes:
    """The file's bytes; `standing` has the step of each trial that is still trained or waits."""
    own = [t for t in trials if t.trial_id in standing]
    rows = [row_of(t) | {"step": standing[t.trial_id]} for t in own]
    note = {"pack_id": pack_id, "attempt": attempt, "steps": steps, "trials": rows}
    noted = {**(curves.schema.metadata or {}), KEY: json.dumps(note).encode()}
    return encode(curves.replace_schema_metadata(noted))


def read_live(store: Store, finished: Collection[str]) -> Iterator[Live]:
    """Every pack under way that has reported something, without trials that are `finished`; unreadable ones left out.

    A trial that stands in several packs counts in the newest. Raises OSError where the store cannot be reached.
    """
    known = set(finished)
    begun = (Checkpoints(store, pack_id).live() for pack_id in packs_begun(store))
    for found in sorted(filter(None, map(_decoded, filter(None, begun))), key=lambda live: -live.attempt):
        if trials := tuple(row for row in found.trials if row["trial_id"] not in known):
            ids = [row["trial_id"] for row in trials]
            known.update(ids)
            curves = found.curves.filter(pc.is_in(found.curves["trial_id"], pa.array(ids, pa.string())))
            yield replace(found, trials=trials, curves=curves)


def _decoded(data: bytes) -> Live | None:
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        note = json.loads((table.schema.metadata or {})[KEY])
        if version_of(table.schema) is None:
            return None
        return Live(
            pack_id=str(note["pack_id"]),
            attempt=int(note["attempt"]),
            steps=int(note["steps"]),
            trials=tuple(map(_typed, note["trials"])),
            curves=table,
        )
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None


def _typed(row: Row) -> Row:
    """A trial with every field of its configuration; KeyError, TypeError or ValueError where one is missing."""
    head = {"trial_id": str(row["trial_id"]), "suggestion_id": str(row["suggestion_id"]), "step": int(row["step"])}
    return head | {name: kind(row[name]) for name, kind in FIELD_TYPES.items()}


def live_of(store: Store, pack_id: str) -> Live | None:
    """What one pack has reported, of all its trials; None where there is nothing, or it is unreadable.

    Raises OSError where the store cannot be reached.
    """
    data = Checkpoints(store, pack_id).live()
    return _decoded(data) if data else None
