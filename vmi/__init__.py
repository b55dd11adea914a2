"""vmi-sweeps: sweeps over VAEs with a mutual-information regulariser. Importing this package loads nothing else."""

__version__ = "0.1.0"
