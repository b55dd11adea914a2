"""The version of this program, by what is installed: rows, cluster nodes and `vmi --version` name it."""


def version() -> str:
    """ "0.1.0"; "unknown" where the library is run from its source."""
    from importlib import metadata  # takes longer than all else that `vmi --help` needs of the standard library

    try:
        return metadata.version("vmi-sweeps")
    except metadata.PackageNotFoundError:
        return "unknown"
