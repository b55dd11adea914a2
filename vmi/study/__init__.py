"""A study as data: its space, conditions, checks, overrides, and study.json."""
