"""Training speed of a pack against named peers, in CPU time per image trained on, with the machine's limits beside it.

    python benchmarks/packs.py [tiny] [mlp] [conv] [--rounds 7]

One thread; actions take turns, medians over rounds; "x plain" says how many times the training the same CPU time gives.
Operations are those that the step needs (matrix products and convolutions), whatever a peer computes beside them, and
"of peak" is their rate over the measured peak of a matrix product in the same precision on the same thread.
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial

import machine
import torch
from cases import CASES, Case
from plain import TO_TENSOR, Plain, batches
from pythae_peer import trainer
from timing import Action, Row, interleaved, keep_rows, rows, show
from vmap_peer import vmapped

from vmi.data.dataset import Dataset, load
from vmi.training.pack import Pack
from vmi.training.train import run_steps
from vmi.worker.work import prepare

BATCH = 128
# What pythae trains as ours: no informed block, hence no Q.
BETA_VAE = {"layout": "n26", "mi_weight": 0, "kl_weight": 4}
BETA_TCVAE = {"layout": "n26", "mi_weight": 0, "tc_weight": 5}


def of_pack(label: str, pack: Pack, dataset: Dataset, steps: int) -> Action:
    return Action(label, partial(run_steps, pack, dataset, steps), steps * BATCH * pack.size)


def of_plain(label: str, case: Case, dataset: Dataset, how: str) -> Action:
    """`how`: "loader", "to-tensor" for ToTensor as the only transform, or "resident" for the step without a loader."""
    model, steps = Plain(case.config(), dataset.spec.pixels), case.plain_steps
    if how == "resident":
        x = dataset.images(dataset.train, slice(0, BATCH), torch.float32).reshape(BATCH, 1, *dataset.spec.image_shape)
        stream = itertools.repeat(2 * x - 1)
    else:
        stream = batches(dataset, BATCH, *([TO_TENSOR] if how == "to-tensor" else []))
    return Action(label, lambda: [model.step(x) for x in itertools.islice(stream, steps)], steps * BATCH)


def actions_of(case: Case, dataset: Dataset) -> tuple[list[Action], dict[str, Pack]]:
    """Everything that is timed of a case; the packs by label, of which operations are counted."""
    packs = {f"pack of {size}": case.pack(size) for size in case.sizes}
    largest = case.sizes[-1]
    packs[f"pack of {largest}, bf16"] = case.pack(largest, precision="bfloat16")
    # On convolutions vmap is grouped convolution, which is slow on a CPU.
    peers = {"vmap of 16": vmapped(case.pack(16))} if case.network == "mlp" else {}
    made = [of_plain("plain", case, dataset, "loader")]
    if case.name == "tiny":
        made.append(of_plain("plain, ToTensor alone", case, dataset, "to-tensor"))
    made.append(of_plain("plain, no loader", case, dataset, "resident"))
    made += [of_pack(label, pack, dataset, case.steps) for label, pack in (peers | packs).items()]
    if case.name == "mlp":
        for kind, fields in (("BetaVAE", BETA_VAE), ("BetaTCVAE", BETA_TCVAE)):
            run = trainer(kind, case.config(), dataset, case.plain_steps)
            made.append(Action(f"pythae {kind}", run, case.plain_steps * BATCH))
            for label, precision in ((f"our {kind}, pack of 16", "float32"), (f"our {kind}, bf16", "bfloat16")):
                packs[label] = case.pack(16, **fields, precision=precision)
                made.append(of_pack(label, packs[label], dataset, case.steps))
    return made, packs


def needed(case: Case, dataset: Dataset, fields: dict[str, float | str]) -> float:
    """Operations per image of one step of a member."""
    return machine.operations(partial(run_steps, case.pack(1, **fields), dataset, 1)) / BATCH


def measured(case: Case, rounds: int, peaks: dict[str, float]) -> list[Row]:
    dataset = load(case.dataset)
    actions, _ = actions_of(case, dataset)
    ours = needed(case, dataset, {})
    flops = {a.label: ours for a in actions}
    for kind, fields in (("BetaVAE", BETA_VAE), ("BetaTCVAE", BETA_TCVAE)):
        if f"pythae {kind}" in flops:
            flops |= dict.fromkeys((label for label in flops if f" {kind}" in label), needed(case, dataset, fields))
    by_label = {a.label: peaks["bf16" if "bf16" in a.label else "fp32"] for a in actions}
    return rows(f"{case.name} {case.dataset} {case.hidden}", interleaved(actions, rounds), flops, "plain", by_label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all of them")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    prepare("cpu")
    peaks = {"fp32": machine.matmul_peak(torch.float32), "bf16": machine.matmul_peak(torch.bfloat16)}
    print("measured matmul peak, one thread:", ", ".join(f"{k} {v:.0f} GF/s" for k, v in peaks.items()), "\n")
    found: list[Row] = []
    for name in given.cases or CASES:
        of_case = measured(CASES[name], given.rounds, peaks)
        show(of_case, "plain")
        found += of_case
    print(f"kept in {keep_rows('packs', found)}")


if __name__ == "__main__":
    main()
