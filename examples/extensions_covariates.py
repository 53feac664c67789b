"""Covariates: what an entity's tier and a window's day of the week do to its rate.

Run with: python examples/extensions_covariates.py
"""

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.forecast import forecast_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended


def example(entities: int = 40, windows: int = 28, draws: int = 500) -> None:
    """Simulate, fit, read the coefficients beside the truth, forecast a week of an entity nobody has seen."""
    extensions = Extensions.create(chosen="covariates", covariates="tier,day_of_week")
    data, truth = simulate_extended(entities, windows, extensions, mu=6.0, alpha=1.0, phi=4.0, seed=1)
    trace = fit_extended(data, ModelConfig(n_samples=draws, n_tune=500, n_chains=2), extensions)
    for name, dimension in (("beta", "coefficient"), ("gamma", "window_coefficient")):
        means = trace.posterior[name].mean(("chain", "draw"))
        for label, mean, true in zip(means[dimension].values, means.values, truth[name], strict=True):
            print(f"{label:25} {mean:6.2f}   truth {true:6.2f}")
    for entry in forecast_extended(trace, "newcomer", horizon=7, covariates={"tier": "gold"})["predictions"]:
        print(f"window {entry['window']}: {entry['expected']:.1f} events expected")


if __name__ == "__main__":
    example()
