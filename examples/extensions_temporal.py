"""Temporal dynamics: rates that wander, so that a busy day is less of a surprise after another one.

Run with: python examples/extensions_temporal.py
"""

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.scores import score_training_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended


def example(entities: int = 15, windows: int = 24, draws: int = 250) -> None:
    """Simulate, fit, read rho and tau beside the truth, and show the most surprising windows."""
    extensions = Extensions.create(chosen="temporal")
    given = {"mu": 10.0, "alpha": 0.5, "phi": 10.0, "rho": 0.8, "tau": 0.6}
    data, truth = simulate_extended(entities, windows, extensions, seed=1, **given)
    trace = fit_extended(data, ModelConfig(n_samples=draws, n_tune=300, n_chains=2), extensions)
    for name in ("rho", "tau"):
        print(f"{name}: {float(trace.posterior[name].mean()):.2f}, truth {truth[name]}")
    scores = score_training_windows_extended(trace, data).sort_values("score", ascending=False)
    print(scores[["entity", "window", "count", "expected", "score", "k_hat"]].head(5).to_string(index=False))


if __name__ == "__main__":
    example()
