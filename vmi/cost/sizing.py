"""How many members a pack gets: as the user says, else by what was measured, and never more than there is memory for.

On a CPU no trial's numbers depend on it. By measurement: of the sizes that `vmi calibrate` has timed on this hardware
for this kind of pack, the smallest whose trials take at most SLACK more than the cheapest. Without one, on a CPU
DEFAULT_PACK_SIZE, as larger packs gain little, and on a GPU as many as its memory holds. Loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from vmi.cost import hardware
from vmi.cost.footprint import base_bytes, data_bytes, member_bytes, members_within, shared_bytes
from vmi.cost.measurements import Costs, Entry, kind_of
from vmi.cost.packing import MAX_PACK_SIZE, Size
from vmi.spec.config import COSTLY, Architecture
from vmi.spec.errors import InputError, Problem
from vmi.spec.presets import PRESETS
from vmi.spec.trial import PackSpec
from vmi.study import space
from vmi.study.space import Choice
from vmi.study.study import Study

# What is taken without any measurement.
DEFAULT_PACK_SIZE = 16
SLACK = 1.03
# Of the free memory, so much is planned with: others use the machine, and an estimate is one.
SHARE = 0.8


class Room(NamedTuple):
    """What one pack has to itself: bytes of a worker's memory, or of its GPU; None where that is not known."""

    device: str
    free: int | None


class Chosen(NamedTuple):
    """A size, why it is that, and how many members the memory holds (None: that is not known)."""

    size: int
    why: str
    fits: int | None


class Sizing:
    """The size of a pack of each Architecture of a study. `wanted`: AUTO, or the number that a user gives.

    `room` and `costs` are asked when the first size is, and once: a finished study asks for none.
    """

    def __init__(
        self, study: Study, wanted: int | str, room: Callable[[], Room], costs: Callable[[], Costs | None]
    ) -> None:
        self._wanted, self._ask_room, self._ask_costs = wanted, room, costs
        self.given = wanted if isinstance(wanted, int) else None
        self._terms = terms_of(study)
        self._asked: tuple[Room, Costs | None] | None = None
        self._chosen: dict[Architecture, Chosen] = {}

    @property
    def room(self) -> Room | None:
        """What the sizes were chosen for; None while none was."""
        return self._asked[0] if self._asked else None

    def __call__(self, architecture: Architecture) -> int:
        return self.chosen(architecture).size

    def chosen(self, architecture: Architecture) -> Chosen:
        if architecture not in self._chosen:
            if self._asked is None:
                self._asked = self._ask_room(), None if isinstance(self._wanted, int) else self._ask_costs()
            self._chosen[architecture] = self._choose(architecture, *self._asked)
        return self._chosen[architecture]

    def warnings(self, packs: Iterable[PackSpec]) -> Iterator[str]:
        """Packs that are larger than the memory is estimated to hold; each Architecture's largest, once."""
        largest: dict[Architecture, int] = {}
        for spec in packs:
            architecture = spec.trials[0].config.architecture
            members = min(len(spec.trials), self(architecture))
            largest[architecture] = max(members, largest.get(architecture, 0))
        for architecture, members in largest.items():
            fits = self.chosen(architecture).fits
            if fits is not None and members > fits and self._asked is not None:
                room = self._asked[0]
                needs = base_bytes(architecture.dataset, room.device) + shared_bytes(architecture, room.device)
                needs += members * member_bytes(architecture, self._terms, room.device)
                yield (
                    f"a pack of {members} of {architecture.dataset} {architecture.layout} {architecture.network} "
                    f"{architecture.hidden} needs about {gigabytes(needs)}, and {gigabytes(room.free or 0)} are free "
                    f"for each: it may be killed and resume with half as many; memory holds about {fits}"
                )

    def _choose(self, architecture: Architecture, room: Room, costs: Costs | None) -> Chosen:
        fits = None
        if room.free is not None:
            if (needs := data_bytes(architecture.dataset)) > room.free:
                allowed = f"images that fit beside a pack: these take {gigabytes(needs)}, and "
                allowed += f"{gigabytes(room.free)} are free for each"
                raise InputError([Problem("dataset", architecture.dataset, allowed)])
            fits = members_within(architecture, round(SHARE * room.free), self._terms, room.device)
        if isinstance(self._wanted, int):
            return Chosen(self._wanted, "as asked for", fits)
        best = _measured(architecture, costs)
        if best is not None:
            size, why = best.pack_size, f"measured on {best.hardware}, {best.measured[:10]}"
        elif room.device == "cuda" and fits is not None:
            size, why = MAX_PACK_SIZE, "the most that is allowed"
        else:
            unknown = " and no GPU to ask; a run takes what its GPU holds" if room.device == "cuda" else ""
            size, why = DEFAULT_PACK_SIZE, f"the default: not measured here{unknown}"
        if fits is None or size <= fits:
            return Chosen(size, why, fits)
        member = gigabytes(member_bytes(architecture, self._terms, room.device))
        why = f"memory: {gigabytes(room.free or 0)} are free for each, a member takes about {member}"
        return Chosen(max(1, fits), why, fits)


def round_size(size: Size) -> int:
    """With what the rounds of a sampler are filled: the number that was given, else the default.

    Not with what was measured, or memory holds: what a sampler suggests depends on how many it is asked for at a time.
    """
    given = size if isinstance(size, int) else getattr(size, "given", None)
    return DEFAULT_PACK_SIZE if given is None else int(given)


def terms_of(study: Study) -> tuple[str, ...]:
    """The costly terms that some trial of the study may have a weight on: rather too many than too few."""
    presets = _values(study, "preset")
    given = [{**p.suggests, **p.sets} for name, p in PRESETS.items() if name in presets]
    return tuple(term for term in COSTLY if any(_values(study, term)) or any(fields.get(term) for fields in given))


def room_here(device: str, workers: int) -> Room:
    """Of this node, for each of so many workers; more workers than its cores are those of nodes like it."""
    if device != "cpu":
        return Room(device, min(hardware.free_on_cards(), default=None))
    free = hardware.available_memory()
    return Room(device, None if free is None else free // max(1, min(workers, hardware.cores())))


def _measured(architecture: Architecture, costs: Costs | None) -> Entry | None:
    """The smallest measured size whose trials cost at most SLACK times those of the cheapest.

    Kinds that differ in their terms stand for each other: what is compared is sizes, not kinds.
    """
    if costs is None:
        return None
    bare = kind_of(architecture, ())
    kinds = [kind for kind in costs.by_kind if kind._replace(terms="") == bare]
    if not kinds:
        return None
    kind = max(kinds, key=lambda k: (len(costs.by_kind[k]), k.terms))

    def of_trial(entry: Entry) -> float:
        size = entry.pack_size
        return costs.pack(kind, size, architecture.steps).on(costs.device) / size

    least = min(map(of_trial, costs.by_kind[kind]))
    return next(entry for entry in costs.by_kind[kind] if of_trial(entry) <= SLACK * least)


def _values(study: Study, field: str) -> tuple[object, ...]:
    """Values that stand for all that a field takes: those of a choice, the ends of a range."""
    domain = study.space.get(field)
    searched: tuple[object, ...] = (study.fixed.get(field),)
    if domain is not None:
        searched = tuple(domain.values) if isinstance(domain, Choice) else tuple(space.ends(domain))
    return (*searched, study.baseline.get(field))


def gigabytes(count: int) -> str:
    """ "1.5 GB", "40 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
