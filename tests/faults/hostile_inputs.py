"""Inputs that are wrong in every way, drawn from a seeded generator: studies, layouts and command lines.

Nothing that is drawn may train: a run's command line always ends with an option that is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from vmi.spec.config import FIELD_TYPES
from vmi.spec.goals import Bound
from vmi.spec.metrics import METRICS
from vmi.study.space import Choice, Float, Integer
from vmi.study.study import Study

# What the study file of the fuzz declares; `vmi plan` and the file's own command line read it from here.
CURRENT: list[Any] = [None]
FILE = "from faults.hostile_inputs import CURRENT\n\nstudy = CURRENT[0]\n"


class Raising:
    """An object none of whose usual methods works."""

    def _raise(self, *arguments: object) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __eq__ = __ne__ = __lt__ = __bool__ = __len__ = __iter__ = __float__ = __int__ = _raise
    __index__ = __contains__ = __getitem__ = __add__ = __radd__ = __mul__ = __format__ = _raise

    def __hash__(self) -> int:
        return id(self)


class Lying(str):
    """A string that is equal to everything, and hashes as another one."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("mi_weight")


class Small(IntEnum):
    ONE = 1


def _recursive() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


VALUES: tuple[Callable[[], Any], ...] = (
    *[lambda v=v: v for v in (
        None, True, False, 0, 1, -1, 2, 3.5, -0.0, math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, 2**64,
        10**12, 1e308, 5e-324, "", "ten", "1", "nan", " ", "\n", "\x00", "\x1b[2J", "\ud800", "\u202e", "<script>",
        "=cmd()", "../x", "a" * 300, "x" * 100_000, b"", b"\xff", (), [], {}, {1: 2}, [[[[1]]]], {"a": {"b": None}},
        1 + 2j, range(10**12), Small.ONE, Decimal("1.5"), Fraction(1, 3), Path("x"), int, len, Ellipsis, NotImplemented,
        np.float64(1.5), np.float32(1.5), np.float64("nan"), np.int64(3), np.bool_(True), np.str_("n16"),
        np.datetime64("2020"), frozenset({1}),
    )],
    Raising, lambda: Lying("x"), _recursive, lambda: itertools.count(), lambda: np.arange(3), lambda: np.zeros((2, 2)),
    lambda: (i for i in range(3)), lambda: {Raising(): 1}, lambda: [Raising()], object, lambda: iter([]),
    lambda: set("ab"), lambda: bytearray(b"x"), lambda: memoryview(b"x"), lambda: Bound(Raising(), 1),
)  # fmt: skip
TEXTS = tuple(v for make in VALUES if isinstance(v := make(), str) and "\x00" not in v)
NEAR = ("mi_weight", "learing_rate", "layout", "preset", "steps", "dataset", "batch_size", "seed", "hidden",
        "temperature", "mi_weight_normal", "entropy_weight", "network", "likelihood_variance", "tc_weight")  # fmt: skip
NAMED = ("grid", "tpe", "random", "gird", "nmi", "elbo_nats", "digits", "mnist", "mnits", "n16", "n16+c10*", "c10*",
         "paper", "corrected", "minimize", "maximize", "median", "conv", "mlp", "128-64", "a")  # fmt: skip


def value(random: Random) -> Any:
    """Anything."""
    kind = random.random()
    if kind < 0.6:
        return random.choice(VALUES)()
    if kind < 0.8:
        return random.choice(NAMED)
    return random.choice((random.randint(-5, 300), random.uniform(-1, 9), layout(random)))


def layout(random: Random) -> str:
    """From the alphabet of the grammar, often nearly right, now and then any text."""
    kind = random.random()
    if kind < 0.1:
        return "".join(chr(random.randrange(0x20, 0x30000)) for _ in range(random.randrange(20)))
    if kind < 0.5:
        return "".join(random.choice("nc0123456789+*") for _ in range(random.randrange(1, 24)))
    blocks = [f"{random.choice('nnccx')}{random.choice((0, 1, 2, 3, 10, 16, 64, 4096, 4097, 10**6, 10**12, '', '03'))}"
              f"{random.choice(('', '', '*', '**', '٣'))}" for _ in range(random.randrange(1, 5))]  # fmt: skip
    return random.choice(("+", "+", "+", "++", " + ", ",")).join(blocks)


def name(random: Random) -> Any:
    """Of a field, where a mapping has its keys."""
    kind = random.random()
    if kind < 0.6:
        return random.choice(NEAR)
    if kind < 0.8:
        return random.choice(tuple(FIELD_TYPES))
    return random.choice((None, 5, 1.5, "", "\ud800", "x" * 1000, ("a",), b"a", Raising(), Lying("x"), frozenset()))


def domain(random: Random) -> Any:
    kind = random.random()
    if kind < 0.5:
        return Choice(tuple(value(random) for _ in range(random.randrange(4))))
    if kind < 0.65:
        return Float(value(random), value(random), log=value(random), step=value(random))
    if kind < 0.8:
        return Integer(value(random), value(random), log=value(random), step=value(random))
    return value(random)


def mapping(random: Random, made: Callable[[Random], Any]) -> Any:
    if random.random() < 0.15:
        return value(random)
    return {name(random): made(random) for _ in range(random.randrange(4))}


def metrics(random: Random, made: Callable[[Random], Any]) -> Any:
    names = (*METRICS, "nim", "", 5, None)
    return {random.choice(names): made(random) for _ in range(random.randrange(4))}


MAKERS: dict[str, Callable[[Random], Any]] = {
    "name": value, "metric": value, "direction": value, "searcher": value, "suggestions": value, "pruner": value,
    "confirm": value, "restarts": value, "choose_by": value,
    "seeds": lambda r: r.choice((value(r), [value(r) for _ in range(3)], range(3))),
    "confirm_seeds": lambda r: r.choice((value(r), [value(r)], range(9, 12))),
    "fixed": lambda r: mapping(r, value), "baseline": lambda r: mapping(r, value),
    "space": lambda r: mapping(r, domain),
    "scales": lambda r: mapping(r, lambda r: mapping(r, value)),
    "objectives": lambda r: metrics(r, value),
    "constraints": lambda r: metrics(r, lambda r: Bound(value(r), value(r))),
    "conditions": lambda r: mapping(r, lambda r: mapping(r, lambda r: r.choice((value(r), (value(r), value(r)))))),
}  # fmt: skip


def study(random: Random) -> Study:
    """A right study with some of its arguments replaced, now and then all."""
    good: dict[str, Any] = {
        "name": "s",
        "space": {"mi_weight": Choice((0, 4))},
        "fixed": {"steps": 3},
        "seeds": range(2),
    }
    count = random.choice((1, 1, 2, 3, len(MAKERS)))
    wrong = {field: MAKERS[field](random) for field in random.sample(list(MAKERS), count)}
    if random.random() < 0.1:
        wrong[random.choice(("spcae", "x", "seads", "a" * 500))] = value(random)
    return Study(**(good | wrong))


OPTIONS = (
    "--steps",
    "--seeds",
    "--data",
    "--name",
    "--results",
    "--scale",
    "--pack-size",
    "--gpus",
    "--cpus",
    "--gpu-hour",
    "--gpu-memory",
    "--gpus-per-pack",
    "--hours",
    "--until",
    "--trials",
    "--simulate",
    "--hardware",
    "--calibration",
    "--address",
    "--against",
    "--out",
    "--member",
    "--wandb",
    "--online",
    "--on",
    "--device",
    "--command",
    "--stps",
    "--x",
    "-x",
    "-",
    "--=",
    "--steps=",
    "---",
)
SWITCHES = ("--smoke", "--local", "--debug", "--offline", "--keep-models", "--resume", "--retry-failed", "--dry-run")
FLAGS = (*SWITCHES, "--local=1")
COMMANDS = ("plan", "report", "status", "watch", "compare", "presets", "mirror", "evaluate", "submit", "calibrate",
            "rerun", "version", "comapre", "", "-", "Plan", "help")  # fmt: skip


def words(random: Random, places: list[str]) -> list[str]:
    """Options and values of a command line, as strings that a shell could give."""
    found: list[str] = []
    for _ in range(random.randrange(6)):
        kind = random.random()
        text = random.choice((*TEXTS, *NAMED, *places, "-1", "0", "1", "3", "1.5", "1e9", "0,1", "0,0", "9" * 50, "٣"))
        if kind < 0.5:
            found += [random.choice(OPTIONS), text]
        elif kind < 0.65:
            found.append(f"{random.choice(OPTIONS)}={text}")
        elif kind < 0.8:
            found.append(random.choice(FLAGS))
        elif kind < 0.85:
            found.append(random.choice(OPTIONS))
        else:
            found.append(text)
    return found


def command_line(random: Random, places: list[str], files: list[str]) -> list[str]:
    """Arguments of `vmi`; what would measure, send or wait is always refused."""
    command = random.choice(COMMANDS)
    positional = {"plan": 1, "report": 1, "status": 1, "watch": 1, "compare": 2, "presets": 1, "mirror": 1,
                  "evaluate": 1, "rerun": 2, "submit": 2, "calibrate": 1}.get(command, random.randrange(2))  # fmt: skip
    chosen = [random.choice(files if command in ("plan", "calibrate") and random.random() < 0.7 else places)
              for _ in range(positional - (random.random() < 0.1))]  # fmt: skip
    more = words(random, places)
    random.shuffle(chosen)
    line = [command, *(chosen + more if random.random() < 0.7 else more + chosen)]
    poison = {"calibrate": ["--device", "abacus"], "submit": ["--on", "nowhere"]}.get(command, [])
    return [*(word for word in line if word != "--" or not poison), *poison]


def run_line(random: Random, places: list[str]) -> list[str]:
    """Options of a study file; the last one is always refused."""
    refused = (["--gpus-per-pack", "7"], ["--pack-size", "0"], ["--seeds", "0,0"], ["--steps", "never"], ["--nme", "x"])
    return [*(word for word in words(random, places) if word != "--"), *random.choice(refused)]
