"""What the data look like, without any modelling framework: event logs, counts per window, built-in data sets."""
