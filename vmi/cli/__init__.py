"""Every command, and a study file's own command line."""
