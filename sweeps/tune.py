"""Which MI weight, temperature and learning rate together give the most accurate code, on seeds that chose nothing?"""

import vmi

study = vmi.Study(
    name="tune",
    fixed={"dataset": "digits", "layout": "n16+c10*"},
    space={
        "mi_weight": vmi.log_uniform(0.5, 32),
        "temperature": vmi.uniform(0.2, 2),
        "learning_rate": vmi.log_uniform(3e-4, 1e-2),
    },
    seeds=range(3),
    metric="accuracy_majority",
    direction="maximize",
    searcher="tpe",
    suggestions=24,
    pruner="median",
    baseline={"mi_weight": 0},
    confirm=1,
    confirm_seeds=range(100, 105),
)

if __name__ == "__main__":
    vmi.main(study)
