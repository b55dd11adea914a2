"""Does a code that is the same for every view find the classes, and can the best restart be told without labels?"""

import vmi

# What two cores train in minutes a trial.
IMAGES = {
    "hidden": "512-256",
    "batch_size": 250,
    "learning_rate": 2e-3,
    "learning_rate_decay": 0.02,
    "steps": 3000,
    "view_elastic": 0.1,
}

study = vmi.Study(
    name="invariant",
    fixed={"layout": "n16+c10*"},
    space={"preset": vmi.choice("corrected", "iic", "imsat", "invariant")},
    seeds=range(24),
    restarts=8,
    choose_by="mi_view_nats",
    metric="accuracy_majority",
    direction="maximize",
    scales={
        "digits": {"dataset": "digits", "view_pair_strength": 1.5},
        "mnist": {"dataset": "mnist", **IMAGES},
        "fashion_mnist": {"dataset": "fashion_mnist", "view_flip": 0.5, **IMAGES},
    },
)

if __name__ == "__main__":
    vmi.main(study)
