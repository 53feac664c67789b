"""The collapsed density of extended models against quadrature, the base model's density and finite differences."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import special, stats

from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import (
    EXACT,
    TO_SAMPLE,
    Precision,
    anchors_of,
    points_needed,
)
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_kernel import Cells, Rule, log_integral
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.numpyro_model import extended_event_rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.data.events import EventCounts

SHAPES, RATES = (1e-4, 1e-2, 0.3, 3.0, 100.0, 1e4), (1e-4, 1.0, 30.0)
SIZES = (0.0, 1.0, 5.0, 1e3, 1e6)
EVERYTHING = {"chosen": "covariates,zero_inflation,drift", "covariates": "tier,load"}


def some_cells(seed: int, *, phi: float | None, log_odds: float | None, n_cells: int, by_parts: bool) -> Cells:
    """Rows over all shapes, rates and sizes of counts, with unequal factors and silent windows."""
    rng = np.random.default_rng(seed)
    inverse = None if phi is None else 1.0 / phi
    rows = []
    for shape, rate, size in itertools.product(SHAPES, RATES, SIZES):
        if (size == 0.0) != by_parts:
            continue
        factor = np.exp(rng.normal(0.0, rng.choice([0.0, 0.3, 1.5]), n_cells))
        total = np.maximum(rng.poisson(size * rng.gamma(1.0, 1.0, n_cells)), np.arange(n_cells) < size).astype(float)
        windows = rng.integers(1, 4, n_cells).astype(float)
        silent = np.where(total > 0, rng.integers(0, 2, n_cells) * (windows - 1), windows)
        silent = silent if log_odds is not None else np.zeros(n_cells)
        weight = (total * inverse if inverse else 0.0) + windows - silent
        rows.append((shape + total.sum(), rate, factor, weight, silent))
    slope, rate, factor, weight, silent = (np.array(part) for part in zip(*rows, strict=True))
    inflation = (None, None) if log_odds is None else (factor, silent)
    return Cells(slope, rate, factor, weight, *inflation, inverse, log_odds)


def integrals(cells: Cells, precision: Precision, *, by_parts: bool) -> np.ndarray:
    """Every row with as many points as it needs, in few compilations; the priors' constants as for shape 1/2."""
    found = np.empty(len(cells.slope))
    anchors = anchors_of(cells, precision, by_parts=by_parts)
    ladder = np.array([32, 64, 256, 4096])
    points = ladder[np.searchsorted(ladder, points_needed(anchors, precision))]
    with jax.enable_x64(True):
        for number in np.unique(points):
            here = points == number
            arrays = (None if part is None else part[here] for part in cells[:6])
            some = Cells(*arrays, cells.inverse, cells.log_odds)
            placed = type(anchors)(*(part[here] for part in anchors))
            rule = Rule(int(number), by_parts)
            found[here] = jax.jit(log_integral, static_argnums=3)(0.5, some, placed, rule)
    return found


def log_f(cells: Cells, row: int, x: Any, number: Any) -> Any:
    """Log of the integrand written out; `number` holds the functions (mpmath's or NumPy's)."""
    theta = number.exp(x)
    total = cells.slope[row] * x - cells.rate[row] * theta
    for c in range(cells.factor.shape[1]):
        mean = theta * cells.factor[row, c]
        rise = mean if cells.inverse is None else number.log1p(mean * cells.inverse) / cells.inverse
        total = total - cells.weight[row, c] * rise
        if cells.log_odds is not None and cells.silent[row, c]:
            psi = 1.0 / (1.0 + np.exp(-cells.log_odds))
            total = total + cells.silent[row, c] * number.log(1 - psi + psi * number.exp(-rise))
    return total


def written_out(cells: Cells, row: int) -> float:
    """The same integral over one fine grid for all, by the trapezoid rule, and the exponential tail left of it."""
    x = np.arange(-60.0, 25.0, 1e-3)
    with np.errstate(over="ignore"):
        values = log_f(cells, row, x, np)
    total = special.logsumexp(values) + np.log(1e-3)
    total = np.logaddexp(total, values[0] - np.log(cells.slope[row]))
    return float(total + 0.5 * np.log(cells.rate[row]) - special.gammaln(0.5))


def by_mpmath(cells: Cells, row: int) -> float:
    """The same integral by adaptive quadrature with twenty digits."""
    x = np.arange(-60.0, 25.0, 0.01)
    with np.errstate(over="ignore"):
        values = log_f(cells, row, x, np)
    inside, top = x[values > values.max() - 45.0], float(values.max())
    with mpmath.workdps(20):
        pieces = list(np.linspace(inside[0], inside[-1], 9))
        integral = mpmath.quad(lambda t: mpmath.exp(log_f(cells, row, t, mpmath) - top), pieces)
        if inside[0] == x[0]:  # the exponential tail left of everything computed
            integral += mpmath.exp(float(values[0]) - top) / cells.slope[row]
        constant = 0.5 * mpmath.log(cells.rate[row]) - mpmath.loggamma(0.5)
        return float(mpmath.log(integral) + top + constant)


GRID = [
    (2.0, None, False),
    (2.0, 0.5, False),
    (2.0, 0.5, True),
    (0.05, None, True),
    (0.05, None, False),
    (None, 2.0, False),
    (None, 2.0, True),
    (1e5, None, False),
]


def test_an_ordinary_integral_equals_the_sum_over_a_fine_grid() -> None:
    """One compilation; the whole range is the next test's."""
    factor, silent = np.array([[1.0, 0.4], [1.2, 3.0], [0.7, 1.0]]), np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
    total = np.array([[5.0, 0.0], [40.0, 2.0], [1.0, 900.0]])
    slope, weight = 0.8 + total.sum(1), 0.5 * total + 2.0
    cells = Cells(slope, np.array([0.3, 1.0, 0.1]), factor, weight, factor, silent, 0.5, 0.7)
    anchors = anchors_of(cells, EXACT, by_parts=False)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(log_integral, static_argnums=3)(0.5, cells, anchors, Rule(64, by_parts=False)))
    assert found == pytest.approx([written_out(cells, row) for row in range(3)], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "log_odds", "by_parts"), GRID)
def test_integrals_equal_adaptive_quadrature(phi: float | None, log_odds: float | None, by_parts: bool) -> None:
    cells = some_cells(1, phi=phi, log_odds=log_odds, n_cells=3, by_parts=by_parts)
    found = integrals(cells, EXACT, by_parts=by_parts)
    finer = integrals(cells, Precision(0.2, 40.0), by_parts=by_parts)
    rounding = 1e-15 * (np.abs(finer) + 50.0 * cells.slope)  # of the sums that go in, millions for counts of 1e6
    assert np.max(np.abs(found - finer) - rounding) < 1e-9
    ordinary = np.flatnonzero((cells.slope > 0.25) & (cells.slope < 5e3))
    rows = np.random.default_rng(0).choice(ordinary, min(6, len(ordinary)), replace=False)
    for row in rows:
        assert found[row] == pytest.approx(written_out(cells, row), abs=1e-9)
    assert found[rows[0]] == pytest.approx(by_mpmath(cells, rows[0]), abs=1e-9)


@pytest.mark.slow
def test_fewer_points_are_ample_for_sampling() -> None:
    cells = some_cells(2, phi=1.5, log_odds=1.0, n_cells=2, by_parts=False)
    exact = integrals(cells, EXACT, by_parts=False)
    assert np.abs(integrals(cells, TO_SAMPLE, by_parts=False) - exact).max() < 1e-6  # its documented bound, with room


def density_of(data: EventCounts, config: ModelConfig, extensions: Extensions, **more: Any) -> CollapsedExtended:
    return CollapsedExtended(coordinates_of(design_of(data, extensions), config, extensions), **more)


@pytest.mark.parametrize(
    ("likelihood", "chosen"),
    [
        ("negative_binomial", {"chosen": "zero_inflation"}),
        pytest.param("negative_binomial", EVERYTHING, marks=pytest.mark.slow),
        pytest.param("poisson", EVERYTHING, marks=pytest.mark.slow),
    ],
)
def test_without_effects_it_is_the_base_models_density(likelihood: str, chosen: dict[str, Any]) -> None:
    config = ModelConfig.create(likelihood=likelihood)
    extensions = Extensions.create(**chosen)
    data, _ = simulate_extended(8, 6, extensions, seed=3, mu=4.0, alpha=0.5, phi=3.0, psi=0.8)
    density = density_of(data, config, extensions)
    base = CollapsedDensity(statistics_of(data), config)
    at = density.coordinates
    evaluate = jax.jit(density.log_likelihood)
    log_values = np.random.default_rng(1).normal(0.0, 0.7, (4, len(base.names)))
    for point in log_values:
        values = {name: np.exp(point[k]) for k, name in enumerate(base.names)}
        neutral = {name: np.zeros(place.stop - place.start) for name, place in at.places.items() if "raw" in name}
        full = at.point(neutral | values | {"psi": 0.5, "drift_scale": 1.0})
        full[at.places["psi"]] = 500.0  # 1 - psi below the Poisson probability of any silent window
        with jax.enable_x64(True):
            moved = density.anchored_at(full)
            again = evaluate if moved.blocks is density.blocks else moved.log_likelihood
            found = float(again(jnp.asarray(full), moved.anchors))
        prior = sum(base.priors[name].log_density(value) + np.log(value) for name, value in values.items())
        assert found == pytest.approx(float(base(point[None])[0] - prior), abs=1e-8)


def full_log_density(data: EventCounts, config: ModelConfig, extensions: Extensions, point: np.ndarray) -> float:
    """Log of the full model's density at hyperparameters, the rates integrated out on a grid, one entity after another.

    The full model factors over the entities: with all but one rate held, differences of its density give each factor.
    """
    density = density_of(data, config, extensions)
    values = density.coordinates.parameters(point)
    design, n = density.design, data.n_entities
    grid = np.linspace(-45.0, 12.0, 6001)
    held = np.ones(n)
    sampled = {name: value for name, value in values.items() if name not in ("theta",)}
    with jax.enable_x64(True):
        evaluate = jax.jit(
            jax.vmap(
                lambda theta: log_density(
                    extended_event_rates, (design, config, extensions), {}, {**sampled, "theta": theta}
                )[0]
            )
        )
        reference = float(evaluate(held[None])[0])
        total = reference
        for i in range(n):
            theta = np.tile(held, (len(grid), 1))
            theta[:, i] = np.exp(grid)
            each = np.asarray(evaluate(theta)) + grid - reference
            total += special.logsumexp(each) + np.log(grid[1] - grid[0])
    return total


@pytest.mark.parametrize(
    ("chosen", "config"),
    [
        pytest.param(EVERYTHING, {}, marks=pytest.mark.slow),
        pytest.param(EVERYTHING, {"likelihood": "poisson", "shape_prior": "gamma(2, 1)"}, marks=pytest.mark.slow),
        ({"chosen": "covariates,drift", "covariates": "size", "drift": "day_of_week"}, {"likelihood": "poisson"}),
    ],
)
def test_it_is_the_full_models_density_with_rates_integrated(chosen: dict[str, Any], config: dict[str, Any]) -> None:
    extensions, model = Extensions.create(**chosen), ModelConfig.create(**config)
    given = {"mu": 5.0, "alpha": 0.5} | ({"psi": 0.7} if "zero" in chosen["chosen"] else {})
    data, _ = simulate_extended(3, 9, extensions, seed=4, config=model, **given)
    density = density_of(data, model, extensions)
    point = np.random.default_rng(2).normal(0.0, 0.4, density.coordinates.size)
    density = density.anchored_at(point)
    at, values = density.coordinates, density.coordinates.parameters(point)
    # the full model is a density of the parameters themselves, ours of the coordinates
    jacobian = sum(np.log(values[name]) for name in at.places if "raw" not in name and name != "psi")
    if "psi" in values:
        jacobian += np.log(values["psi"] * (1.0 - values["psi"]))
    expected = full_log_density(data, model, extensions, point) + float(jacobian)
    assert float(density(point[None])[0]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("likelihood", "chosen"),
    [
        ("poisson", {"chosen": "covariates", "covariates": "tier"}),
        pytest.param("poisson", {"chosen": "zero_inflation"}, marks=pytest.mark.slow),
        pytest.param("negative_binomial", EVERYTHING, marks=pytest.mark.slow),
        pytest.param("poisson", EVERYTHING, marks=pytest.mark.slow),
    ],
)
def test_gradient_equals_finite_differences_and_points_do_not_matter(likelihood: str, chosen: dict[str, Any]) -> None:
    extensions, config = Extensions.create(**chosen), ModelConfig.create(likelihood=likelihood)
    given = {"mu": 3.0, "alpha": 0.5} | ({"psi": 0.8} if extensions.has("zero_inflation") else {})
    data, _ = simulate_extended(5, 6, extensions, seed=6, config=config, **given)
    density = density_of(data, config, extensions)
    point = density.coordinates.start()[0] + np.random.default_rng(3).normal(0.0, 0.2, density.coordinates.size)
    value, gradient = density.value_and_gradient(point)
    moves = 1e-4 * np.eye(len(point))
    differences = (density(point + moves) - density(point - moves)) / 2e-4
    assert gradient == pytest.approx(differences, rel=1e-3, abs=1e-4)  # finite differences
    assert value == pytest.approx(float(density(point[None])[0]), abs=1e-9)
    moved = density.anchored_at(point)
    assert float(moved(point[None])[0]) == pytest.approx(value, abs=1e-7)  # the anchor is 0.2 away, not at the point


def test_poisson_counts_have_a_closed_form_that_quadrature_reproduces() -> None:
    """Gamma-Poisson is negative binomial; zero inflation with psi = 1 takes the other path to the same number."""
    extensions, config = Extensions.create(chosen="covariates", covariates="tier"), ModelConfig(likelihood="poisson")
    data, _ = simulate_extended(9, 5, extensions, seed=8, mu=3.0, alpha=0.5, config=config)
    density = density_of(data, config, extensions)
    assert density.has_closed_form
    point = np.array([0.9, -0.5, 0.3, -0.2])
    values = density.coordinates.parameters(point)
    variables = density.coordinates.variables(point)
    factor = np.exp(density.design.entity_level.matrix @ variables["beta"])
    shape = values["mu"] * values["alpha"]
    total = np.bincount(data.entity_idx, data.count)
    odds = values["alpha"] / (values["alpha"] + 5 * factor)
    expected = stats.nbinom.logpmf(total, shape, odds).sum()
    # given the sum the counts of five equal windows are multinomial
    expected += (special.gammaln(total + 1) - total * np.log(5)).sum() - special.gammaln(data.count + 1.0).sum()
    with jax.enable_x64(True):
        assert float(jax.jit(density.log_likelihood)(jnp.asarray(point))) == pytest.approx(expected, abs=1e-9)
    inflated = Extensions.create(chosen="covariates,zero_inflation", covariates="tier")
    other = density_of(data, config, inflated)
    assert not other.has_closed_form
    full = np.r_[point[:2], 60.0, point[2:]]
    with jax.enable_x64(True):
        found = float(jax.jit(other.anchored_at(full).log_likelihood)(jnp.asarray(full)))
    assert found == pytest.approx(expected, abs=1e-9)


def fifty_alike() -> CollapsedExtended:
    count = np.tile([0, 3, 1, 0], 50)
    data = EventCounts.from_arrays(entity=np.repeat([f"e{k:03d}" for k in range(50)], 4), count=count)
    return density_of(data, ModelConfig(), Extensions.create(chosen="zero_inflation"))


def test_alike_entities_are_one_row() -> None:
    rows = fifty_alike().entities.rows
    assert len(rows) == 1
    assert rows.times.tolist() == [50.0]


@pytest.mark.slow
def test_alike_entities_are_integrated_once() -> None:
    density = fifty_alike()
    one = EventCounts.from_arrays(entity=["a"] * 4, count=[0, 3, 1, 0])
    alone = density_of(one, ModelConfig(), Extensions.create(chosen="zero_inflation"))
    point = np.array([0.4, -0.3, 0.8, 0.5])
    with jax.enable_x64(True):
        prior = float(density.log_prior(jnp.asarray(point)))
    many, single = (float(part(point[None])[0]) - prior for part in (density, alone))
    assert many == pytest.approx(50 * single, rel=1e-11)  # the same integral, its points placed alike
