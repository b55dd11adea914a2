"""How much MI weight does it take until the latent code is used, and when is "high MI" a collapse?"""

import vmi

study = vmi.Study(
    name="lambda",
    fixed={"dataset": "digits", "layout": "n16+c10*"},
    space={"mi_weight": vmi.choice(0, 1, 2, 4, 8), "entropy_weight": vmi.choice(0, 1)},
    seeds=range(5),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
