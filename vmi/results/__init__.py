"""The Parquet store, the only truth: written, read, compacted, checked."""
