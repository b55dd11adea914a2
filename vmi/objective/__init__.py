"""One weighted sum: the ELBO, the MI bounds and every other term."""
