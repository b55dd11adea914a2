"""Does the MI regulariser work for other latent layouts than the paper's?"""

import vmi

study = vmi.Study(
    name="layouts",
    fixed={"dataset": "digits"},
    space={
        "layout": vmi.choice("n16+c10*", "n8+c10*+c2*", "n16+c20*", "c10*", "n2*+n14+c10*"),
        "mi_weight": vmi.choice(0, 4),
    },
    seeds=range(3),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
