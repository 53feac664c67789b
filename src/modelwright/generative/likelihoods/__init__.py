"""Likelihoods of observed numbers given the output of a network: normalised, constants included, in nats."""
