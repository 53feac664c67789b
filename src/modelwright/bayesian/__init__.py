"""Floor 2, the Bayesian workshop: models, inference, diagnostics."""
