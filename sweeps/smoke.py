"""Does everything run, from the study to its report, in a few seconds?"""

from vmi.sweep.main import main
from vmi.sweep.space import choice
from vmi.sweep.study import Study

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
