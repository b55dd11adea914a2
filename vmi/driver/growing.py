"""What other starts of a study ask its driver for while it runs (`vmi.in_flight.asks`): taken up, or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from vmi.driver.own_data import register_beside
from vmi.driver.preflight import Wanted, load_data, united
from vmi.in_flight.asks import Ask, asks, remove
from vmi.in_flight.steering import look_seconds
from vmi.results.store import Store
from vmi.search.trial_count import values_of
from vmi.spec.errors import InputError, StoreError
from vmi.study.study_json import study_of


class Growing:
    """The requests that one run of a study takes up. `say` is told of those that it refuses. `clock` gives seconds."""

    def __init__(self, store: Store, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._say, self._clock = store, say, clock
        self._next = clock() + look_seconds(store)
        self._taken: list[Ask] = []
        self._told: set[str] = set()

    def start(self, wanted: Wanted) -> Wanted:
        """What a run is to train whose driver has just begun. Raises StoreError naming a damaged request."""
        return self._with(wanted, asks(self._store))

    def look(self, wanted: Wanted, now: bool = False) -> Wanted | None:
        """The larger study where somebody has asked for one; looked for every few seconds, or `now`."""
        if not now and self._clock() < self._next:
            return None
        self._next = self._clock() + look_seconds(self._store)
        try:
            found = asks(self._store)
        except (OSError, StoreError) as error:
            self._warn(str(error))
            return None
        whole = self._with(Wanted(wanted.study, wanted.spec), found)
        if not whole.grows:
            self.keep()  # what asks for nothing more
        return whole if whole.grows else None

    def keep(self) -> None:
        """study.json has by now what was taken up: its requests go."""
        for ask in self._taken:
            remove(self._store, ask)
        self._taken = []

    def _with(self, wanted: Wanted, found: Iterable[Ask]) -> Wanted:
        """The study united with what is asked for; a request that contradicts it is refused, and goes."""
        for ask in found:
            try:
                asked = study_of({**ask.spec, "name": self._store.study})
                register_beside(self._store.folder)
                more = united(wanted.spec, asked, self._store.folder, only=False, now=datetime.fromisoformat(ask.at))
                new = set(values_of(more.study, "dataset")) - set(values_of(wanted.study, "dataset"))
                load_data(sorted(new), self._store.root)
            except InputError as error:
                self._warn(f"{ask.user} on {ask.host} has asked for what contradicts the study: {error}")
                remove(self._store, ask)
                continue
            wanted = Wanted(more.study, more.spec, (*wanted.grows, *more.grows))
            self._taken.append(ask)
        return wanted

    def _warn(self, said: str) -> None:
        """Once."""
        if said not in self._told:
            self._told.add(said)
            self._say(f"warning: {said}")
