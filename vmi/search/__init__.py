"""What to try next and what leads: grid, Optuna, scores, ranking."""
