"""Zero inflation: windows in which nobody was there, and whether the data ask for them.

Run with: python examples/extensions_zero_inflation.py
"""

from modelwright.bayesian.diagnostics.comparison import compare_traces
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.fit import fit_event_rates


def example(entities: int = 40, windows: int = 20, draws: int = 500) -> None:
    """Simulate, fit with and without, and compare the two by leave-one-out."""
    extensions = Extensions.create(chosen="zero_inflation")
    data, truth = simulate_extended(entities, windows, extensions, mu=12.0, alpha=0.5, phi=6.0, psi=0.75, seed=1)
    config = ModelConfig(n_samples=draws, n_tune=500, n_chains=2)
    inflated = fit_extended(data, config, extensions)
    print(f"psi: {float(inflated.posterior['psi'].mean()):.2f}, truth {truth['psi']}")
    print(compare_traces({"inflated": inflated, "plain": fit_event_rates(data, config)}).conclusion)


if __name__ == "__main__":
    example()
