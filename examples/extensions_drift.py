"""Drift: a factor common to everybody, so that a holiday is not an anomaly of everybody.

Run with: python examples/extensions_drift.py
"""

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.scores import score_training_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended


def example(entities: int = 40, windows: int = 21, draws: int = 400) -> None:
    """Simulate three weeks with a holiday, fit, and show what the holiday's windows score."""
    extensions = Extensions.create(chosen="drift", drift="random_walk")
    level = np.full(windows, 0.1)
    level[9] = -1.5  # the tenth day
    data, _ = simulate_extended(
        entities, windows, extensions, mu=12.0, alpha=0.5, phi=10.0, drift=level - level.mean(), seed=1
    )
    trace = fit_extended(data, ModelConfig(n_samples=draws, n_tune=400, n_chains=2), extensions)
    for window in trace.posterior["drift"].mean(("chain", "draw"))[8:11]:
        print(f"{window['window'].item()}: drift {float(window):.2f}")
    scores = score_training_windows_extended(trace, data)
    holiday = scores["window"] == "2024-01-10"
    for name, rows in (("on the holiday", holiday), ("elsewhere", ~holiday)):
        print(f"mean score {name}: {scores['score'][rows].mean():.2f} nats")


if __name__ == "__main__":
    example()
