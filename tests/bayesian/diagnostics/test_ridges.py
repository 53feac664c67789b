"""Ridges of the likelihood: models that have one by construction, and models that only look as if."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from modelwright.bayesian.diagnostics import ridges as module
from modelwright.bayesian.diagnostics.data_information import data_information
from modelwright.bayesian.diagnostics.flat_directions import Direction
from modelwright.bayesian.diagnostics.identifiability import direction_findings, identify
from modelwright.bayesian.diagnostics.ridges import likelihood_ridges
from modelwright.bayesian.inference.map_laplace import laplace
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.bayesian.single_cell.count_models import count_model
from modelwright.core.verdict import Finding
from modelwright.data.counts import simulate_counts

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((80, 3))
Y = X @ np.array([1.0, -1.0, 0.5]) + 1.0 + 0.5 * GENERATOR.standard_normal(80)
DEPENDENT = np.column_stack([X, X[:, 0] + X[:, 1]])
COUNTS = GENERATOR.poisson(3.0, (50, 8)).astype(float)
SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def regression(x: np.ndarray, y: np.ndarray) -> None:
    level = numpyro.sample("level", dist.Normal(0.0, 2.0))
    with numpyro.plate("column", x.shape[1]):
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(level + x @ slope, 0.5), obs=y)


def product_of(width: float) -> Callable[[np.ndarray], None]:
    """Counts see a * b; the ridge is a hyperbola in a and b, the prior of a has this width on log a."""

    def model(y: np.ndarray) -> None:
        a = numpyro.sample("a", dist.LogNormal(0.0, width))
        b = numpyro.sample("b", dist.LogNormal(0.0, 1.0))
        with numpyro.plate("row", len(y)):
            numpyro.sample("y", dist.Poisson(a * b).expand([y.shape[1]]).to_event(1), obs=y)

    return model


def centred(y: np.ndarray, errors: np.ndarray) -> None:
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    tau = numpyro.sample("tau", dist.LogNormal(2.0, 1.0))
    with numpyro.plate("school", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, errors), obs=y)


def not_centred(y: np.ndarray, errors: np.ndarray) -> None:
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    tau = numpyro.sample("tau", dist.LogNormal(2.0, 1.0))
    with numpyro.plate("school", 8):
        eta = numpyro.sample("eta", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + tau * eta, errors), obs=y)


def softmax(y: np.ndarray) -> None:
    """Forty events of three numbers each: what adds to all log weights is not seen."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Multinomial(30, jax.nn.softmax(w)), obs=y)


def flat_direction(model: Any, *data: Any) -> Finding:
    return next(each for each in identify(laplace(model, data)).findings if each.name == "flat_direction")


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (regression, (DEPENDENT, Y), "the numbers of slope move together, and no observation notices"),
        (product_of(1.0), (COUNTS,), "a and b move together (a up as b down), and no observation notices"),
        pytest.param(
            softmax,
            (GENERATOR.multinomial(30, [0.2, 0.3, 0.5], 40),),
            "the numbers of w move together",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["dependent columns", "product", "softmax"],
)
def test_a_ridge_is_named(model: Any, data: tuple[Any, ...], words: str) -> None:
    finding = flat_direction(model, *data)
    assert str(finding.grade) == "warning"
    assert finding.sentence.startswith(words)
    assert "100% of what holds it comes from the priors" in finding.sentence


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (regression, (X, Y)),
        pytest.param(centred, (SCHOOLS, ERRORS), marks=pytest.mark.slow),
        (not_centred, (SCHOOLS, ERRORS)),
        (product_of(0.05), (COUNTS,)),
    ],
    ids=["independent columns", "centred hierarchy", "hierarchy not centred", "anchored"],
)
def test_what_is_no_ridge_is_called_good(model: Any, data: tuple[Any, ...]) -> None:
    finding = flat_direction(model, *data)
    assert str(finding.grade) == "good", finding.sentence


def ridges_at(model: Any, data: tuple[Any, ...], z: Any = None, *, hierarchy: bool = False) -> Any:
    """Ridges at a point, with prior widths of one; what counts as hierarchy beside them where asked for."""
    with jax.enable_x64(True):
        density = Unconstrained.of(model, Call.of(data, {}))
        z = np.random.default_rng(1).normal(0.0, 0.5, density.size) if z is None else z
        information = data_information(density, z)
        assert information is not None
        if hierarchy:
            return information.of_hierarchy
        return likelihood_ridges(density, information, np.ones(density.size), z, np.zeros((2, density.size)))


def test_parts_of_a_hierarchy_count_as_observations_whether_centred_or_not() -> None:
    assert ridges_at(centred, (SCHOOLS, ERRORS), hierarchy=True) == {"theta"}
    assert ridges_at(not_centred, (SCHOOLS, ERRORS), hierarchy=True) == {"eta"}
    assert ridges_at(regression, (X, Y), hierarchy=True) == frozenset()


def test_a_bent_ridge_is_found_at_every_point_of_it() -> None:
    """Counts see a b = 3. The scores along (1, -1) of log a and log b vanish wherever one stands."""
    for log_a in (-2.0, 0.0, 1.5):
        (ridge,) = ridges_at(product_of(1.0), (COUNTS,), np.array([log_a, np.log(3.0) - log_a]))
        assert ridge.shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-3)
        assert ridge.signs["a"] == -ridge.signs["b"] != 0


def test_the_information_is_the_sum_of_squared_scores() -> None:
    """Of a normal regression in closed form: scores of rows are residual / variance times (1, x)."""
    z = np.array([0.7, 0.2, -0.5, 0.1])
    with jax.enable_x64(True):
        information = data_information(Unconstrained.of(regression, Call.of((X, Y), {})), z)
        assert information is not None
        found = information.products(np.eye(4))
    design = np.column_stack([np.ones(len(Y)), X])
    scores = ((Y - design @ z) / 0.25)[:, None] * design
    assert found == pytest.approx(scores.T @ scores, rel=1e-9)
    assert information.rows == 80


def test_a_likelihood_in_one_number_shows_no_scores() -> None:
    def summed(y: np.ndarray) -> None:
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.factor("y", dist.Normal(a, 1.0).log_prob(y).sum())

    with jax.enable_x64(True):
        assert data_information(Unconstrained.of(summed, Call.of((Y,), {})), np.zeros(1)) is None


def test_lanczos_finds_the_ridge_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(y: np.ndarray) -> None:
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", 40):
            each = numpyro.sample("each", dist.Normal(0.0, 3.0))
            numpyro.sample("y", dist.Normal(jnp.exp(level) + each, 1.0).expand([40]), obs=y[:40])

    (whole,) = ridges_at(shifted, (Y,))
    monkeypatch.setattr(module, "LARGEST_DENSE", 10)
    (by_lanczos,) = ridges_at(shifted, (Y,))
    assert by_lanczos.spread == pytest.approx(whole.spread, rel=0.01)  # the iteration's tolerance
    assert by_lanczos.shares == pytest.approx(whole.shares, abs=0.01)
    assert whole.signs == {"level": -whole.signs["each"], "each": whole.signs["each"]}


CAPTURED = {
    "canonical": ({"p_capture", "p"}, "p", -1),
    "mean_prob": ({"p_capture", "p", "mu"}, "p", -1),
    "mean_odds": ({"p_capture", "phi", "mu"}, "phi", 1),
}


@pytest.mark.parametrize("kind", ["nbvcp", pytest.param("zinbvcp", marks=pytest.mark.slow)])
@pytest.mark.parametrize("parameterization", CAPTURED)
def test_capture_and_success_probability_lie_on_a_ridge(kind: str, parameterization: str) -> None:
    """The log-odds that counts see are logit p + log nu: at any point, d log nu = -d logit p goes unnoticed."""
    sites, name, sign = CAPTURED[parameterization]
    counts = simulate_counts(kind, n_cells=30, n_genes=12, p=0.6, seed=0).counts
    model = count_model(kind, parameterization)
    with jax.enable_x64(True):
        data = model.data_for(counts)
    (ridge,) = ridges_at(model.entry_by_entry(), (data,))
    assert {site for site, share in ridge.shares.items() if share > 0.02} == sites
    assert ridge.signs["p_capture"] == sign * ridge.signs[name]
    assert max(ridge.shares.get(site, 0.0) for site in ("r", "gate") if site not in sites) < 1e-3


@pytest.mark.parametrize("kind", ["nbdm", "zinb"])
def test_models_without_capture_have_no_ridge(kind: str) -> None:
    counts = simulate_counts(kind, n_cells=60, n_genes=12, p=0.6, seed=0).counts
    model = count_model(kind, "mean_prob")
    with jax.enable_x64(True):
        data = model.data_for(counts)
    assert ridges_at(model.entry_by_entry(), (data,)) == ()


def test_a_ridge_is_said_even_where_no_flat_direction_was_found() -> None:
    ridge = Direction({"a": 0.6, "b": 0.4}, {"a": 1, "b": -1}, 5.0, 1.0, 1.0)
    flat, narrow = direction_findings((), (ridge,))
    assert (flat.grade, narrow.grade) == ("warning", "unknown")
    assert "a and b move together (a up as b down)" in flat.sentence
