"""Whether a posterior can be trusted: convergence, predictive checks, comparison, calibration, and their pictures."""
