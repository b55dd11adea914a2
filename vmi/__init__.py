"""vmi-sweeps: sweeps over VAEs with a mutual-information regulariser. All that a study or a notebook needs is here.

    study = vmi.Study(name="lambda", space={"mi_weight": vmi.choice(0, 1, 2, 4, 8)})
    vmi.main(study)                    the study's own command line
    results = vmi.run(study)           the same from a notebook or a program
    vmi.open("results/lambda")         the results of a study that was run before, or is running
    vmi.evaluate(model, data)          the MI account of any VAE
    vmi.load_model("exported")         a trained model, exported or kept in a study's results

Importing this package loads nothing else: each name is loaded when it is first asked for.
"""

import os
from importlib import import_module

TYPE_CHECKING = False  # which type checkers take for True; importing typing takes as long as all else here
if TYPE_CHECKING:
    from vmi.api.models import evaluate as evaluate
    from vmi.api.models import load_model as load_model
    from vmi.api.results import Best as Best
    from vmi.api.results import Results as Results
    from vmi.api.results import open as open
    from vmi.api.run import run as run
    from vmi.cli.run import main as main
    from vmi.runners.watchdog import ClusterLostError as ClusterLostError
    from vmi.sources.dataset import Dataset as Dataset
    from vmi.spec.errors import InputError as InputError
    from vmi.spec.errors import Problem as Problem
    from vmi.spec.errors import StoreError as StoreError
    from vmi.spec.goals import Bound as Bound
    from vmi.spec.goals import at_least as at_least
    from vmi.spec.goals import at_most as at_most
    from vmi.spec.intervals import Interval as Interval
    from vmi.study.space import choice as choice
    from vmi.study.space import integers as integers
    from vmi.study.space import log_uniform as log_uniform
    from vmi.study.space import uniform as uniform
    from vmi.study.study import Study as Study

# Before torch multiplies for the first time, after which it is too late: see `vmi.nn.ops`.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# Where each name of the face lives.
_HOMES = {
    "vmi.api.models": ("evaluate", "load_model"),
    "vmi.api.results": ("Best", "Results", "open"),
    "vmi.api.run": ("run",),
    "vmi.cli.run": ("main",),
    "vmi.runners.watchdog": ("ClusterLostError",),
    "vmi.sources.dataset": ("Dataset",),
    "vmi.spec.errors": ("InputError", "Problem", "StoreError"),
    "vmi.spec.goals": ("Bound", "at_least", "at_most"),
    "vmi.spec.intervals": ("Interval",),
    "vmi.study.space": ("choice", "integers", "log_uniform", "uniform"),
    "vmi.study.study": ("Study",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF), "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from vmi.spec.version import version

        return version()
    if name in _HOME_OF:
        from vmi.process.signals import importing

        with importing():
            found = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
        return found
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, n=1)
    raise AttributeError(f"module 'vmi' has no attribute {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
