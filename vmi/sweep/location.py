"""Where results may lie: a folder of a file system. What else is named by a URI is refused here, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from vmi.errors import Problem, did_you_mean, one_of

# Schemes of URIs that results can be kept under; none yet.
SCHEMES: tuple[str, ...] = ()
# pathlib makes "s3:/bucket" of "s3://bucket".
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def location_problems(field: str, location: Path | str) -> list[Problem]:
    """What is wrong with the place itself, whether or not there is anything: a URI whose scheme is not supported."""
    found = _URI.match(str(location))
    if found is None or found[1].lower() in SCHEMES:
        return []
    schemes = f", or a URI of {one_of(SCHEMES)}" if SCHEMES else ""
    allowed = f"a folder of this file system{schemes}; {found[1]}: is not supported"
    return [Problem(field, str(location), allowed, did_you_mean(found[1], SCHEMES))]
