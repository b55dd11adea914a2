"""Do categories become classes when the encoder sees random views, and does the winner hold on fresh seeds?"""

import vmi

study = vmi.Study(
    name="views",
    fixed={"dataset": "digits", "preset": "corrected"},
    space={
        "view_strength": vmi.choice(0, 1),
        "layout": vmi.choice("c10*", "n16+c10*"),
        "network": vmi.choice("mlp", "conv"),
    },
    seeds=range(2),
    metric="accuracy_majority",
    direction="maximize",
    confirm=1,
    confirm_seeds=range(100, 105),
)

if __name__ == "__main__":
    vmi.main(study)
