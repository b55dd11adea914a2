"""Which Gumbel-softmax temperature lets the MI regulariser work, and does it matter without one?"""

import vmi

study = vmi.Study(
    name="temperature",
    fixed={"dataset": "digits", "layout": "n16+c10*"},
    space={"temperature": vmi.choice(0.2, 0.5, 1.0, 2.0), "mi_weight": vmi.choice(0, 4)},
    seeds=range(5),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
