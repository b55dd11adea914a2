"""Who writes W&B's runs for the driver of a study: this process at once, or one of its own beside the training."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

import psutil

from vmi.mirror.follower import END, Following
from vmi.mirror.runs import FINISH_SECONDS, INIT_SECONDS, finish_service
from vmi.results.store import Store
from vmi.storage.paths import path_of

# Between two words of the process one run may wait for a server, and the first that does in vain is the last.
SILENT_SECONDS = 2 * (INIT_SECONDS + FINISH_SECONDS)
# What is written when the driver is interrupted has this long to end: a run takes 0.05 s.
STOP_SECONDS = 2.0
# From when on it is said that the command waits for W&B's runs.
SAY_SECONDS = 3.0
# How many processes one run starts, should they be killed.
MOST_STARTS = 4
# Where W&B's client notes its own process for those that it starts, and it may be the one that died.
SERVICE = "WANDB_SERVICE"
# Finds modules where this process does.
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from vmi.mirror.follower import main; main()"


class Writer(Protocol):
    """Writes the runs of trials."""

    def start(self) -> None:
        """Trials are about to be trained: get ready."""

    def write(self, trial_ids: list[str]) -> None:
        """Write these trials' runs, now or later."""

    def look(self, pack_id: str, trial_ids: list[str]) -> None:
        """The pack has made reports durable of these trials, which are under way."""

    def end(self) -> None:
        """Nothing more is to come."""

    def wait(self, say: Callable[[str], None]) -> None:
        """Until all are written, or that cannot be; a signal may end it."""

    def stop(self) -> None:
        """End after the run that is being written; the others are left to the next start."""

    def close(self) -> None:
        """Stop, and wait a little for it."""

    def left(self) -> int:
        """How many runs were asked for and not written."""

    def warnings(self) -> list[str]:
        """What went wrong since this was asked last."""


class Here:
    """Writes runs in this process, at once, and of finished trials alone: nobody sees an offline run before."""

    def __init__(self, store: Store, mode: str) -> None:
        self._following = Following(store, mode)
        self._said: list[str] = []
        self._left: set[str] = set()

    def start(self) -> None:
        """Nothing is started."""

    def write(self, trial_ids: list[str]) -> None:
        self._left.update(trial_ids)
        for settled, warning in self._following.write(trial_ids):
            self._left.difference_update(settled)
            self._said += [warning] if warning else []

    def look(self, pack_id: str, trial_ids: list[str]) -> None:
        """Nothing is written before a trial has ended."""

    def end(self) -> None:
        """What can be written is."""

    def wait(self, say: Callable[[str], None]) -> None:
        """What can be written is."""

    def stop(self) -> None:
        """Nothing goes on."""

    def close(self) -> None:
        """Let go of W&B's own process where it failed, before its client does, with a traceback, at exit."""
        if self._left:
            finish_service()

    def left(self) -> int:
        return len(self._left)

    def warnings(self) -> list[str]:
        said, self._said = self._said, []
        return said


class Beside:
    """Writes runs in a process of its own (`vmi.mirror.follower`), with whom two threads speak.

    So whoever calls never waits, and an interrupted or killed driver leaves it to the next start. Where it is killed
    itself, online another one goes on, a few times; offline see `Mirror.wait`.
    """

    def __init__(self, store: Store, mode: str) -> None:
        self._arguments = [str(path_of(store.root).absolute()), store.study, mode]
        self._starts_left = MOST_STARTS if mode == "online" else 1
        self._process: subprocess.Popen[str] | None = None
        self._given = SimpleQueue[str | None]()
        self._threads: list[threading.Thread] = []
        self._said: list[str] = []
        self._asked: dict[str, None] = {}  # and not settled
        self._heard = 0.0

    def start(self) -> None:
        if self._is_dead() and self._starts_left:
            assert self._process is not None
            self._said.append(
                f"the process of the W&B mirror has ended: exit code {self._process.poll()}; another starts"
            )
            self._join()
            self._process = None
        if self._process is None and self._starts_left:
            self._starts_left -= 1
            self._begin()

    def write(self, trial_ids: list[str]) -> None:
        self.start()
        self._asked |= dict.fromkeys(trial_ids)
        self._given.put(json.dumps(trial_ids))

    def look(self, pack_id: str, trial_ids: list[str]) -> None:
        self.start()
        self._given.put(json.dumps({"pack_id": pack_id, "trial_ids": trial_ids}))

    def end(self) -> None:
        self._given.put(json.dumps(END))

    def wait(self, say: Callable[[str], None]) -> None:
        self._wait(say)
        while self._is_dead() and self._starts_left and self._asked:
            self.start()
            self.end()
            self._wait(say)

    def _wait(self, say: Callable[[str], None]) -> None:
        process, began, said = self._process, time.monotonic(), False
        self._heard = began
        while process is not None and process.poll() is None:
            now = time.monotonic()
            if now - self._heard > SILENT_SECONDS:
                self._said.append(f"the W&B mirror was silent for {SILENT_SECONDS:.0f} s")
                return
            if now - began > SAY_SECONDS and not said:
                said = True
                say(f"W&B runs still to be written: {len(self._asked)} (Ctrl-C leaves them to the next start)")
            time.sleep(0.02)
        self._join()

    def stop(self) -> None:
        self._given.put(None)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if code := process.poll():
            self._said.append(f"the process of the W&B mirror has ended: exit code {code}")
        self.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        if process.poll() is None:
            follower = psutil.Process(process.pid)
            for each in (*follower.children(), follower):  # W&B's own process is in a session of its own
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
        self._join()

    def left(self) -> int:
        return len(self._asked)

    def warnings(self) -> list[str]:
        said, self._said = self._said, []
        return said

    def _is_dead(self) -> bool:
        """Whether its process was killed, or failed."""
        return self._process is not None and bool(self._process.poll())

    def _begin(self) -> None:
        """A process, which is given first what another one has left."""
        try:
            # A group of its own: Ctrl-C on a terminal is for the driver, which tells it.
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path), *self._arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0,
                env={name: value for name, value in os.environ.items() if name != SERVICE},
            )  # fmt: skip
        except OSError as error:
            self._said.append(f"no process for the W&B mirror could be started: {error}")
            return
        self._given = SimpleQueue()
        self._given.put(json.dumps(list(self._asked)))
        telling = threading.Thread(target=_tell, args=(process, self._given), daemon=True)
        self._threads = [telling, threading.Thread(target=self._listen, args=(process,), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _join(self) -> None:
        """Once the process has ended: until its last word is read."""
        self._given.put(None)
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            settled, warning = json.loads(line)
            for trial_id in settled:
                self._asked.pop(trial_id, None)
            self._heard = time.monotonic()
            if warning:
                self._said.append(warning)


def _tell(process: subprocess.Popen[str], given: SimpleQueue[str | None]) -> None:
    with contextlib.suppress(OSError, ValueError):  # it is gone, which is seen when it is waited for
        assert process.stdin is not None
        while (line := given.get()) is not None:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        process.stdin.close()
