"""Which Gumbel-softmax temperature lets the MI regulariser work, and does it matter without one?"""

from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(
    name="temperature",
    fixed={"dataset": "digits", "layout": "n16+c10*"},
    space={"temperature": choice(0.2, 0.5, 1.0, 2.0), "mi_weight": choice(0, 4)},
    seeds=range(5),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    main(study)
