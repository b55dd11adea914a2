"""The version of this program, by what is installed: rows, cluster nodes and `vmi --version` name it."""

from importlib import metadata


def version() -> str:
    """ "0.1.0"; "unknown" where the library is run from its source."""
    try:
        return metadata.version("vmi-sweeps")
    except metadata.PackageNotFoundError:
        return "unknown"
