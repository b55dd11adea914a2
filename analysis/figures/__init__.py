"""Plots: scores, information, images, and how all of them look."""
