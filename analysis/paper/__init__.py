"""The figures and verdicts of the paper's own studies."""
