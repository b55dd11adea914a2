"""What each objective of the presets costs: CPU seconds of a step, as a ratio to that of a plain VAE in the same run.

    python benchmarks/terms.py [--cases tiny mlp conv]

A pack of one of each preset takes its steps in turn with all others; medians over rounds, the first only warms up.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

from cases import CASES, Case
from timing import Action, interleaved, keep

from vmi.data.dataset import load
from vmi.spec.presets import PRESETS
from vmi.training.train import run_steps
from vmi.worker.work import prepare

AGAINST = "vae"
NETWORK = {"network", "hidden", "batch_size", "steps"}


def measured(case: Case, rounds: int) -> dict[str, list[float]]:
    """CPU seconds per image of each preset in each round."""
    data, actions = load(case.dataset), []
    for name, preset in PRESETS.items():
        if name != "custom":
            # The network is the case's: `authors` names another.
            objective = {k: v for k, v in {**preset.suggests, **preset.sets}.items() if k not in NETWORK}
            pack = case.pack(1, **{"mi_weight": 4, **objective})
            batch = pack.architecture.batch_size
            actions.append(Action(name, partial(run_steps, pack, data, case.steps), case.steps * batch))
    return interleaved(actions, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    prepare("cpu")
    rows: list[dict[str, object]] = []
    for case in (CASES[name] for name in given.cases):
        times = measured(case, given.rounds)
        base = statistics.median(times[AGAINST])
        for name, seconds in times.items():
            low, median, high = (f(seconds) for f in (min, statistics.median, max))
            rows.append({"case": case.name, "preset": name, "us_per_image": 1e6 * median, "ratio": median / base})
            spread = f"{1e6 * low:.1f} to {1e6 * high:.1f}"
            figures = f"{1e6 * median:>9.1f} us an image ({spread}) {median / base:>6.2f} x {AGAINST}"
            print(f"{case.name:<6} {name:<14} {figures}", flush=True)
    print(f"kept in {keep('terms', {key: [row[key] for row in rows] for key in rows[0]})}")


if __name__ == "__main__":
    main()
