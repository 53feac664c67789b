"""How good a generative model is: likelihoods in common units, and whether its samples are told from data."""
