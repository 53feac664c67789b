"""Pareto-smoothed importance weights, from where every sampler of the package has them."""

from modelwright.bayesian.inference.pareto_smoothing import FEWEST_DRAWS, k_hat_limit, smoothed_weights

__all__ = ["FEWEST_DRAWS", "k_hat_limit", "smoothed_weights"]
