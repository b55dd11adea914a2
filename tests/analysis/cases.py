"""Studies that a report must manage, each a function from a folder to a study's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.analysis.factory import LAMBDA_SPACE, choice, grid, lambda_rows, live, store, trial
from vmi.storage.checksum import sealed, unsealed

# Each would do something where text is taken for markup, script, a terminal's command, a formula, a path or a query.
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "<svg/onload=alert(4)>",
    "<a href='javascript:alert(5)'>x</a>",
    "=cmd()",
    "\x1b[31mred\x1b[0m \x07",
    "\u2028alert(6)//",
    "<!--<script>",
    "%{x} &lt;b&gt;",
    "' onmouseover='alert(7)' x='",
    "</style><style>*{display:none}</style>",
    "</title></head><body onload=alert(8)>",
    "</table></main><iframe srcdoc='<script>alert(9)</script>'>",
    "<base href='https://example.invalid/'>",
    "<meta http-equiv=refresh content='0;url=https://example.invalid/'>",
    "<object data='data:text/html,<script>alert(10)</script>'>",
    "<form action=https://example.invalid/><input autofocus onfocus=alert(11)>",
    "<math><mtext><img src=x onerror=alert(12)></mtext></math>",
    "<details open ontoggle=alert(13)>x</details>",
    "${alert(14)}{{constructor.constructor('alert(15)')()}}",
    "`${alert(16)}`",
    "javascript:alert(17)",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    '\t=HYPERLINK("https://example.invalid/")',
    "\x00null\x00",
    "\u202ereversed\u2066\u200f",
    "</h2><h2>forged",
    'x\r\n=2+5,"quoted"\r\n',
    "\\u003cscript\\u003ealert(18)\\u003c/script\\u003e",
    "'; DROP TABLE trials; --",
    "$(touch /tmp/owned)",
    "__proto__",
)
REPEATED = ("n4*+n4+c5*+c2", "c10*+c10*", "n4*+n4", "n16+c10*")
LAYOUTS = ("n16+c10*", "n8+c10*+c2*", "n2*+n30", "n16+c20*")


def usual(root: Path) -> Path:
    return store(root, lambda_rows())


def layouts(root: Path) -> Path:
    space = {"layout": choice(*LAYOUTS), "mi_weight": choice(0, 4)}
    return store(root, [trial("layouts", **p) for p in grid(space, range(3))], name="layouts", space=space)


def repeated(root: Path) -> Path:
    """Two blocks of one kind and size, with and without a star; only the first of a kind has un-suffixed metrics."""
    space = {"layout": choice(*REPEATED)}
    return store(root, [trial("repeated", **p) for p in grid(space, range(2))], name="repeated", space=space)


def searched(root: Path) -> Path:
    space = {
        "mi_weight": {"kind": "float", "low": 0.1, "high": 16, "log": True, "step": None},
        "temperature": {"kind": "float", "low": 0.1, "high": 1.0, "log": False, "step": None},
        "learning_rate": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True, "step": None},
        "entropy_weight": choice(0, 1),
    }
    rng = np.random.default_rng(0)
    points = [
        {
            "mi_weight": 0.1 * 160 ** rng.random(), "temperature": 0.1 + 0.9 * rng.random(),
            "learning_rate": 10 ** (-4 + 2 * rng.random()), "entropy_weight": int(rng.integers(2)),
        }
        for _ in range(30)
    ]  # fmt: skip
    rows = [trial("searched", **p, temperature_final=p["temperature"], seed=s) for p in points for s in range(2)]
    return store(root, rows, name="searched", space=space, searcher="tpe", suggestions=30, planned=64)


def temperatures(root: Path) -> Path:
    space = {"temperature": choice(0.1, 0.5, 1.0)}
    rows = [trial("temperatures", **p, temperature_final=p["temperature"]) for p in grid(space, range(3))]
    return store(root, rows, name="temperatures", space=space)


def heated(root: Path) -> Path:
    """Temperature by MI weight, for two layouts, one combination missing."""
    space = {"layout": choice(*LAYOUTS[:2]), "mi_weight": choice(0, 1, 4, 8), "temperature": choice(0.2, 0.5, 1.0)}
    points = [p for p in grid(space, range(3)) if (p["mi_weight"], p["temperature"]) != (8, 0.2)]
    rows = [trial("heated", **p, temperature_final=p["temperature"]) for p in points]
    return store(root, rows, name="heated", space=space)


def normal_only(root: Path) -> Path:
    space = {"mi_weight": choice(0, 1, 2)}
    rows = [trial("normal", layout="n2*+n14", **p) for p in grid(space, range(3))]
    return store(root, rows, name="normal", space=space, metric="elbo_nats")


def hostile(root: Path) -> Path:
    """Every payload in every field that holds text, of rows and of study.json; some rows failed, some completed.

    A layout that is none has no block and so no metric of one; its column is set once the part's schema is known.
    """
    failed = [trial(outcome="failed", reason=p, mi_weight=2, seed=100 + i) for i, p in enumerate(PAYLOADS)]
    failed += [trial(outcome="failed", reason=p, seed=200 + i) | {"trial_id": p} for i, p in enumerate(PAYLOADS)]
    failed += [trial(outcome=p, seed=300 + i) | {"trial_id": f"{i}"} for i, p in enumerate(PAYLOADS)]
    odd = [
        trial(mi_weight=w, seed=i) | _everywhere(p, i) | {"likelihood": p}
        for w in (0, 4)
        for i, p in enumerate(PAYLOADS)
    ]
    space: dict[str, Any] = dict(LAMBDA_SPACE) | {
        PAYLOADS[0]: choice(PAYLOADS[1]),
        "layout": choice(*PAYLOADS),
        "likelihood": choice(*PAYLOADS),
    }
    fixed = {p: p for p in PAYLOADS}
    given = {"searcher": PAYLOADS[2], "baseline": {PAYLOADS[3]: PAYLOADS[4]}, "planned": 120}
    folder = store(root, [*odd, *failed], space=space, fixed=fixed, **given)
    running = [trial(mi_weight=8, seed=i) | _everywhere(p, i) | {"trial_id": f"{p}-"} for i, p in enumerate(PAYLOADS)]
    live(folder, running, 200, PAYLOADS[2].replace("/", ""))
    return folder


def _everywhere(payload: str, i: int) -> dict[str, str]:
    """The payload, or one of the next, as the value of each text column; ids stay apart."""
    texts = ("study", "preset", "network", "hidden", "device", "versions", "pack_id", "data_fingerprint")
    texts += ("phase_order", "tc_estimator", "precision")
    texts += ("dataset", "layout") if i % 2 else ()  # the others keep their pictures
    own = {name: PAYLOADS[(i + k) % len(PAYLOADS)] for k, name in enumerate(texts)}
    return own | {"suggestion_id": f"{payload} {i % 7}"}


def hostile_name(root: Path) -> Path:
    """A study whose name, which the pattern refuses, was written into study.json by hand."""
    folder = store(root, lambda_rows(range(2)))
    spec = unsealed((folder / "study.json").read_bytes())
    (folder / "study.json").write_bytes(sealed(spec | {"name": "".join(PAYLOADS)}))
    return folder


def hostile_goals(root: Path) -> Path:
    """Payloads in whatever else a study.json says, and in the account of the last run and in the driver's file."""
    odd = {p: p for p in PAYLOADS}
    goals = {"metric": PAYLOADS[0], "direction": PAYLOADS[1], "pruner": PAYLOADS[2], "searcher": PAYLOADS[3]}
    goals |= {"objectives": odd, "constraints": {p: {"low": 0, "high": None} for p in PAYLOADS}}
    goals |= {"conditions": {p: {p: [p]} for p in PAYLOADS}, "baseline": odd, "confirm": 1, "confirm_seeds": [1]}
    goals |= {"choose_by": PAYLOADS[5]}
    asked = {"space": {PAYLOADS[6]: choice(PAYLOADS[7])}, "seeds": [0], "fixed": odd}
    goals |= {"requests": [{"asked_at": said, "spec": asked, "study": asked} for said in PAYLOADS[8:10]]}
    folder = store(root, lambda_rows(range(2)), **goals)
    pack = {"pack": PAYLOADS[0], "trials": PAYLOADS[1], "step": PAYLOADS[2], "steps": PAYLOADS[3]}
    driver = {"host": PAYLOADS[0], "pid": 1, "study": PAYLOADS[4], "best": PAYLOADS[6], "running": PAYLOADS[7]}
    (folder / "driver.json").write_bytes(sealed(driver | {"packs": [pack] * 20, "updated": 4e9}))
    return folder


def under_way(root: Path) -> Path:
    """λ = 0 has completed, of λ = 1 two seeds of five, the others are trained; those of λ = 8 have not reported."""
    rows = lambda_rows()
    done = [row for row in rows if row["mi_weight"] == 0 or (row["mi_weight"] == 1 and row["seed"] < 2)]
    folder = store(root, done, planned=50, seeds=list(range(5)))
    ids = {row["trial_id"] for row in done}
    for pack, step, weights in (("first", 200, (1, 2)), ("second", 100, (4,)), ("third", 40, (8,))):
        live(folder, [r for r in rows if r["mi_weight"] in weights and r["trial_id"] not in ids], step, pack)
    return folder


def begun(root: Path) -> Path:
    """Nothing has finished; layouts with and without a code are under way."""
    space = {"layout": choice("n16+c10*", "n2*+n14"), "mi_weight": choice(0, 4)}
    folder = store(root, [], space=space, planned=8, seeds=[0, 1])
    live(folder, [trial(**point) for point in grid(space, range(2))], 200)
    return folder


def violated(root: Path) -> Path:
    rows = lambda_rows(range(2))
    broken = next(r for r in rows if r["mi_weight"] == 2 and r["entropy_weight"] == 1)
    broken["mi_real_bound_c10_nats"] = broken["mi_real_bound_nats"] = broken["mi_encoder_c10_nats"] + 0.25
    broken["rate_n16_nats"] = broken["mi_encoder_lower_n16_nats"] - 1
    return store(root, rows)


def presets(root: Path, seeds: Iterable[int] = range(3), **given: Any) -> Path:
    """The paper's study on the embedded data: three presets of two layouts."""
    weights = {"vae": (0, 1), "paper": (8, 0), "corrected": (8, 1)}
    space = {"layout": choice("n16+c10*", "n2*+n30"), "preset": choice(*weights)}
    rows = []
    for point in grid(space, seeds):
        mi, entropy = weights[point["preset"]]
        rows.append(trial("presets", mi_weight=mi, entropy_weight=entropy, **(point | given)))
    return store(root, rows, name="presets", space=space)


def none(root: Path) -> Path:
    return store(root, [], planned=50)


def one(root: Path) -> Path:
    return store(root, [trial()], planned=50)


def one_seed(root: Path) -> Path:
    return store(root, lambda_rows([0]))


def restarted(root: Path) -> Path:
    """Two groups of two seeds each, chosen by the ELBO: at λ = 4 a seed has failed, at λ = 8 one was stopped early, at
    λ = 1 one is missing."""
    kinds = {(4, 0): "failed", (8, 3): "pruned"}
    space = {"preset": choice("vae", "corrected"), "layout": choice(*LAYOUTS[:2]), "mi_weight": choice(0, 1, 4, 8)}
    points = [p for p in grid(space, range(4)) if (p["mi_weight"], p["seed"]) != (1, 1)]
    points = [p for p in points if (p["preset"] == "vae") == (p["mi_weight"] == 0)]
    rows = [trial("restarted", outcome=kinds.get((p["mi_weight"], p["seed"]), "completed"), **p) for p in points]
    return store(root, rows, name="restarted", space=space, planned=32, restarts=2, choose_by="elbo_nats")


def all_equal(root: Path) -> Path:
    rows = [trial(seed=s) for s in range(4)]
    own = {"trial_id", "seed", "finished_at", "suggestion_id"}
    return store(root, [{**rows[0], **{k: v for k, v in row.items() if k in own}} for row in rows])


def all_failed(root: Path) -> Path:
    points = grid(LAMBDA_SPACE, range(2))
    reason = "loss became NaN at step 120 (term: rate_nats)"
    return store(root, [trial(outcome="failed", reason=reason, **p) for p in points], planned=50)


CASES: Mapping[str, Callable[[Path], Path]] = {
    f.__name__: f
    for f in (
        usual, layouts, repeated, searched, temperatures, normal_only, presets, hostile,
        hostile_name, hostile_goals, heated, violated, none, one, one_seed,
        all_equal, all_failed, restarted, under_way, begun,
    )
}  # fmt: skip
