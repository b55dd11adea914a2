"""Does everything run, from the study to its report, in a few seconds?"""

from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(
    name="smoke",
    fixed={"dataset": "digits", "layout": "n16+c10*", "entropy_weight": 1, "steps": 20},
    space={"mi_weight": choice(0, 4)},
    seeds=range(2),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    main(study)
