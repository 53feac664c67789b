"""The event-rate model from Python: simulate, fit, check, score, forecast, and compare two likelihoods.

Run with: python examples/event_rates.py
"""

from modelwright.bayesian.diagnostics.comparison import compare_traces
from modelwright.bayesian.diagnostics.convergence import convergence_verdict
from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.forecast import forecast
from modelwright.data.security_log import simulate_security_log


def example(n_users: int = 60, n_days: int = 20, draws: int = 500) -> None:
    """Fit a simulated security log with two likelihoods and ask the better one."""
    data = simulate_security_log(n_users=n_users, n_days=n_days, seed=1).counts()
    traces = {}
    for likelihood in ("negative_binomial", "poisson"):
        config = ModelConfig(n_samples=draws, n_tune=500, likelihood=likelihood)
        traces[likelihood] = fit_event_rates(data, config)
        print(likelihood, convergence_verdict(traces[likelihood]).sentence)

    for row in compare_traces(traces).as_table().rows:
        print(row)

    trace = traces["negative_binomial"]
    scores = score_training_windows(trace, data).sort_values("score", ascending=False)
    print(scores[["entity", "window", "count", "expected", "score", "kind"]].head(10).to_string(index=False))
    print(forecast(trace, "user_0003", horizon=7, interval=0.9))


if __name__ == "__main__":
    example()
