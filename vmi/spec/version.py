"""Versions: of this program, by what is installed (rows, nodes and `vmi --version` name it), and of study.json."""

# Raised when a study.json of before would be misread; a part that is added does not.
STUDY_VERSION = 1


def version() -> str:
    """ "0.1.0"; "unknown" where the library is run from its source."""
    from importlib import metadata  # takes longer than all else that `vmi --help` needs of the standard library

    try:
        return metadata.version("vmi-sweeps")
    except metadata.PackageNotFoundError:
        return "unknown"
