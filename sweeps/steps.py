"""At how many steps do categories become classes, and does time alone bring the accuracy that the paper has?"""

import vmi

study = vmi.Study(
    name="steps",
    fixed={"dataset": "mnist", "layout": "n16+c10*"},
    space={
        "preset": vmi.choice("vae", "paper", "corrected", "joint_vae", "invariant"),
        "steps": vmi.choice(1_200, 4_000, 12_000, 40_000),
    },
    seeds=range(3),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
