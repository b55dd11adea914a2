"""What can be said of a study in words, and against what was published."""
