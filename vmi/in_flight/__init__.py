"""What lies beside the results of a study while it runs: checkpoints, live reports, requests to driver and workers."""
