"""What anyone sees of a study that runs: the sign of life of its driver, its progress, its status."""
