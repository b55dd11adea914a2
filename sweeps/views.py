"""Do categories become classes when the encoder sees random views, and does the winner hold on fresh seeds?"""

from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(
    name="views",
    fixed={"dataset": "digits", "preset": "corrected"},
    space={
        "view_strength": choice(0, 1),
        "layout": choice("c10*", "n16+c10*"),
        "network": choice("mlp", "conv"),
    },
    seeds=range(2),
    metric="accuracy_majority",
    direction="maximize",
    confirm=1,
    confirm_seeds=range(100, 105),
)

if __name__ == "__main__":
    main(study)
