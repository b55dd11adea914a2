"""Tables in: the rows of a study, its settings, intervals, axes and labels."""
