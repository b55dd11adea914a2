"""One pack in one process: trained, checkpointed, committed."""
