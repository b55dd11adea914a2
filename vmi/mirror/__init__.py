"""The copy of the results on W&B: runs and the report."""
