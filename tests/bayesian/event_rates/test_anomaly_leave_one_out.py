"""Leave-one-out scores against exact refits: all hyperparameters integrated on a grid, with the window and without."""

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.pareto_smoothing import k_hat_limit, smoothed_weights
from modelwright.data.events import EventCounts

ENTITIES = ["ann", "bob", "cy", "dee"]
COUNTS = {"ann": [3, 4, 2, 5], "bob": [1, 0, 1], "cy": [7, 30, 6, 9, 8], "dee": [2]}
EXPOSURES = {"ann": [1.0, 1.0, 0.5, 1.0], "bob": [1.0, 1.0, 1.0], "cy": [1.0, 1.0, 1.0, 1.0, 0.25], "dee": [2.0]}


class Grid:
    """Prior times likelihood of all entities on a grid of (mu, alpha, phi), with rates integrated by a plain sum."""

    def __init__(self, *, poisson: bool, mean_scaled: bool = False, size: int = 22) -> None:
        mu, alpha = np.geomspace(0.3, 60, size), np.geomspace(0.02, 8, size)
        phi = np.array([np.inf]) if poisson else np.geomspace(0.08, 12, size)
        self.mu, self.alpha, self.phi = (a.ravel() for a in np.meshgrid(mu, alpha, phi, indexing="ij"))
        self.x = np.linspace(-9, 6, 181)
        theta = np.exp(self.x)
        shape, rate = (self.alpha, self.alpha / self.mu) if mean_scaled else (self.mu * self.alpha, self.alpha)
        self.log_prior_rate = stats.gamma(shape[:, None], scale=1 / rate[:, None]).logpdf(theta) + self.x
        # log spacing: the grid points stand for intervals of length proportional to the value
        self.log_prior = stats.expon(scale=10).logpdf(self.mu) + np.log(self.mu)
        self.log_prior = self.log_prior + stats.halfnorm(scale=2).logpdf(self.alpha) + np.log(self.alpha)
        if not poisson:
            self.log_prior = self.log_prior + stats.halfnorm(scale=2).logpdf(self.phi) + np.log(self.phi)
        self.table = {}
        for name in ENTITIES:
            for y, e in zip(COUNTS[name], EXPOSURES[name], strict=True):
                if poisson:
                    rows = stats.poisson(theta * e).logpmf(y)[None]
                else:
                    rows = stats.nbinom(phi[:, None], phi[:, None] / (phi[:, None] + theta * e)).logpmf(y)
                self.table[y, e] = np.tile(rows, (size * size, 1)) if not poisson else rows

    def log_entity(self, name: str, without: int | None = None) -> np.ndarray:
        total = self.log_prior_rate.copy()
        for j, key in enumerate(zip(COUNTS[name], EXPOSURES[name], strict=True)):
            if j != without:
                total += self.table[key]
        return np.logaddexp.reduce(total, axis=1) + np.log(self.x[1] - self.x[0])


def exact_scores(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-log p(window | all others) by two integrals over the whole grid.

    Also the posterior of the grid points and, by window, the relative standard deviation under it of what a score is an
    average of, 1 / p(window | its entity's others, hyperparameters).
    """
    full = {name: grid.log_entity(name) for name in ENTITIES}
    everything = grid.log_prior + sum(full.values())
    posterior = np.exp(everything - np.logaddexp.reduce(everything))
    scores, spread = [], []
    for name in ENTITIES:
        for j in range(len(COUNTS[name])):
            ratio = np.exp(grid.log_entity(name, without=j) - full[name])
            mean = posterior @ ratio
            scores.append(np.log(mean))
            spread.append(np.sqrt(posterior @ (ratio - mean) ** 2) / mean)
    return np.array(scores), posterior / posterior.sum(), np.array(spread)


def trace_from(grid: Grid, posterior: np.ndarray, draws: int, *, mean_scaled: bool = False) -> az.InferenceData:
    """Independent draws of the exact posterior of the hyperparameters; rates are not looked at by leave-one-out."""
    chosen = np.random.default_rng(5).choice(len(posterior), size=(2, draws // 2), p=posterior)
    values = {"mu": grid.mu[chosen], "alpha": grid.alpha[chosen]}
    if np.isfinite(grid.phi).all():
        values["phi"] = grid.phi[chosen]
    variables = {name: (("chain", "draw"), array) for name, array in values.items()}
    variables["theta"] = (("chain", "draw", "entity"), np.ones((2, draws // 2, len(ENTITIES))))
    dataset = xr.Dataset(variables, coords={"entity": ENTITIES})
    dataset.attrs["parameterization"] = "mean_scaled" if mean_scaled else "centered"
    return az.InferenceData(posterior=dataset)


def data() -> EventCounts:
    names = [name for name in ENTITIES for _ in COUNTS[name]]
    count = [y for name in ENTITIES for y in COUNTS[name]]
    exposure = [e for name in ENTITIES for e in EXPOSURES[name]]
    return EventCounts.from_arrays(
        entity=names, count=count, exposure=exposure, window_label=[f"w{k:02d}" for k in range(len(names))]
    )


@pytest.mark.parametrize(
    ("poisson", "mean_scaled"),
    [(False, False), (True, False), (True, True)],
    ids=["negbinom", "poisson", "mean scaled"],
)
def test_scores_equal_those_of_exact_refits(poisson: bool, mean_scaled: bool) -> None:
    grid = Grid(poisson=poisson, mean_scaled=mean_scaled)
    truth, posterior, spread = exact_scores(grid)
    draws = 8000
    found = score_training_windows(trace_from(grid, posterior, draws, mean_scaled=mean_scaled), data(), draws=draws)
    assert found["window"].tolist() == [f"w{k:02d}" for k in range(len(truth))]
    reliable = (found["k_hat"] < 0.7).to_numpy()
    assert reliable.sum() >= 11
    # Monte Carlo, 4 standard errors of a mean over independent draws; 1e-3 for the plain sums of the truth
    off = np.abs(found["score"].to_numpy() - truth)[reliable]
    assert (off < 4 * spread[reliable] / np.sqrt(draws) + 1e-3).all()


def test_the_exact_scores_single_out_the_anomaly() -> None:
    truth = exact_scores(Grid(poisson=False, size=14))[0]
    assert np.argmax(truth) == 8  # the 30 among cy's 6 to 9


def test_weights_and_k_hat_equal_arviz() -> None:
    rng = np.random.default_rng(2)
    for scale, heavy in ((0.1, False), (1.0, False), (2.5, True)):
        ratios = scale * (rng.standard_t(3, (6, 900)) if heavy else rng.normal(size=(6, 900)))
        weights, k_hat = smoothed_weights(ratios)
        log_weights, k = az.psislw(ratios)
        # same formula; ArviZ keeps the tail strictly above the cutoff, which is the same without ties
        np.testing.assert_allclose(k_hat, k, rtol=1e-8)
        np.testing.assert_allclose(weights, np.exp(log_weights), rtol=1e-8, atol=1e-14)


def test_weights_of_equal_ratios_are_equal_and_of_too_few_draws_unreliable() -> None:
    weights, k_hat = smoothed_weights(np.full((2, 50), 3.0))
    np.testing.assert_array_equal(weights, np.full((2, 50), 0.02))
    assert k_hat.tolist() == [0.0, 0.0]
    assert np.isinf(smoothed_weights(np.random.default_rng(0).normal(size=(1, 20)))[1]).all()


def test_the_limit_of_k_hat_grows_with_the_draws() -> None:
    assert k_hat_limit(100) == pytest.approx(0.5)
    assert k_hat_limit(10**6) == 0.7
    assert k_hat_limit(1) == k_hat_limit(2) < 0.0


@pytest.mark.parametrize("ahead", [1, 8])
def test_ratios_of_any_size_give_weights_that_sum_to_one(ahead: int) -> None:
    # With 8 draws an astronomical factor ahead of 52 others, the quantiles of the fitted tail are beyond any number.
    log_ratios = np.full((1, 60), -1e8)
    log_ratios[0, :ahead] = np.linspace(0.0, 0.1, ahead)
    weights, k_hat = smoothed_weights(log_ratios)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert k_hat[0] > 10.0
