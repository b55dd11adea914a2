"""Where results go: the Parquet store (the only truth) and its W&B mirror."""
