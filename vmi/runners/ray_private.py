"""What Ray is told before it is loaded, and all that is used of it which it keeps private.

pyproject.toml bounds Ray's version by this file; tests/runners/test_ray_private.py says what a new one has moved.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before Ray is imported, Tune with it: no per-trial logger files, no output of its own, Ctrl-C is ours to handle.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# What becomes of a pack whose worker died is ours to say.
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A cluster that refuses the token is asked once a second: it shall be said within half a minute, start included.
os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "15")

from ray._private import parameter, services

# A cluster that lives for one run on this machine scales nothing, and nobody follows its logs. Without these two
# processes it started 0.5 s sooner and ended 0.8 s sooner (medians of five on two busy cores: 3.9 and 0.6 s, against
# 4.4 and 1.4), as the first of them does not heed SIGTERM; `ray.init` has no option for either.
SPARED = {"no_monitor": True, "include_log_monitor": False}
# What the title of every worker begins with, whatever it works on.
TITLE = "ray::"


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """A cluster that Ray starts inside does without SPARED, as far as this Ray knows of them."""
    private: Any = parameter
    made = private.RayParams
    known = inspect.signature(made).parameters
    private.RayParams = functools.partial(made, **{name: SPARED[name] for name in SPARED if name in known})
    try:
        yield
    finally:
        private.RayParams = made


def address_noted_in(folder: Path) -> str | None:
    """The cluster that this machine belongs to, by Ray's own note of it (`ray.init` looks in its temporary folder).

    `ray.init("auto")` would take any cluster that it finds, that of another study's run as well.
    """
    ask: Any = services.canonicalize_bootstrap_address  # its annotation has no None
    found: str | None = ask(None, str(folder))
    return found


def keep_variables() -> None:
    """Tune hands its workers no variables of the driver's.

    What it hands over by a runtime environment Ray writes into its logs in clear (AWS_SECRET_ACCESS_KEY is such); and
    workers that Ray has started beforehand have none, so that each would be started anew. Workers of this machine have
    the driver's variables anyway, those of other nodes their node's.
    """
    from ray.tune.execution import class_cache  # loads Tune

    class_cache.ENV_VARS_TO_PROPAGATE.clear()
    class_cache.DEFAULT_ENV_VARS.clear()
