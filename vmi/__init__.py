"""vmi-sweeps: sweeps over VAEs with a mutual-information regulariser. Importing this package loads nothing else.

`vmi.evaluate(model, data)` is the MI account of a fixed model (`vmi.estimation.evaluate`), loaded when it is first
asked for.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmi.estimation.evaluate import evaluate as evaluate

# Before torch multiplies for the first time, after which it is too late: see `vmi.nn.ops`.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "evaluate":
        from vmi.estimation.evaluate import evaluate

        return evaluate
    raise AttributeError(f"module 'vmi' has no attribute {name!r}")
