"""What a trial, a data set, a metric and an error are: plain values, without torch."""
