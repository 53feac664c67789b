"""Volumes: counts and bytes together, with the correlation of being busy and moving much at a time.

Run with: python examples/extensions_volumes.py
"""

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.scores import score_training_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended


def example(entities: int = 60, windows: int = 14, draws: int = 500) -> None:
    """Simulate, fit, read the correlation beside the truth, and show the windows with the largest volumes."""
    extensions = Extensions.create(chosen="volumes")
    given = {"rate_sd": 0.8, "volume_mean": 7.0, "volume_sd": 0.9, "sigma": 0.6, "correlation": -0.6}
    data, _ = simulate_extended(entities, windows, extensions, seed=1, mu=5.0, phi=5.0, **given)
    trace = fit_extended(data, ModelConfig(n_samples=draws, n_tune=500, n_chains=2), extensions)
    low, high = trace.posterior["correlation"].quantile([0.05, 0.95], ("chain", "draw")).values
    print(f"correlation of rate and volume per event: 90 % between {low:.2f} and {high:.2f}, truth -0.6")
    scores = score_training_windows_extended(trace, data).sort_values("volume_tail_probability")
    print(scores[["entity", "window", "count", "volume", "volume_tail_probability"]].head(5).to_string(index=False))


if __name__ == "__main__":
    example()
