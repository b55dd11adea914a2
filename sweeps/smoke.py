"""Does everything run, from the study to its report, in a few seconds?"""

import vmi

study = vmi.Study(
    name="smoke",
    fixed={"dataset": "digits", "layout": "n16+c10*", "entropy_weight": 1, "steps": 20},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
