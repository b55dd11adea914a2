"""The formulas of mutual information: bounds, statistics, likelihoods, the MI card."""
