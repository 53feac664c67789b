"""Stochastic variational inference: right where the answer is known, the same bits in any chunks, no second trace."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoNormal
from scipy import stats

from modelwright.bayesian.inference import variational as svi_module
from modelwright.bayesian.inference.svi_course import Course
from modelwright.bayesian.inference.svi_settings import EarlyStopping
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.variational import SviSettings, VariationalFit, svi
from modelwright.core.errors import ConfigurationError, DataError, MissingDependencyError
from modelwright.core.progress import ProgressEvent

HEIGHTS = np.array([1.0, 3.0, 2.5, -0.5])
TOSSES = np.array([1, 0, 1, 1, 1, 0, 1, 1])
COUNTS = np.array([3, 5, 0, 4, 2, 7])
NO_STOP = SviSettings(stopping=None)


def normal_model(y: np.ndarray, batch_size: int | None = None) -> None:
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    with numpyro.plate("place", y.shape[0], subsample_size=batch_size) as rows:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[rows])


def normal_guide(y: np.ndarray, batch_size: int | None = None) -> None:
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mean", dist.Normal(loc, scale))


def beta_model(y: np.ndarray) -> None:
    p = numpyro.sample("p", dist.Beta(2.0, 3.0))
    numpyro.deterministic("odds", p / (1 - p))
    with numpyro.plate("toss", y.shape[0]):
        numpyro.sample("y", dist.Bernoulli(p), obs=y)


def beta_guide(y: np.ndarray) -> None:
    a = numpyro.param("a", 1.0, constraint=constraints.positive)
    b = numpyro.param("b", 1.0, constraint=constraints.positive)
    numpyro.sample("p", dist.Beta(a, b))


def gamma_model(y: np.ndarray) -> None:
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    with numpyro.plate("window", y.shape[0]):
        numpyro.sample("y", dist.Poisson(rate), obs=y)


def gamma_guide(y: np.ndarray) -> None:
    a = numpyro.param("a", 1.0, constraint=constraints.positive)
    b = numpyro.param("b", 1.0, constraint=constraints.positive)
    numpyro.sample("rate", dist.Gamma(a, b))


@dataclass(frozen=True)
class Conjugate:
    """A model whose posterior lies in the guide's family, with its evidence."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    data: np.ndarray
    posterior: Any
    of_params: Callable[[Mapping[str, Any]], Any]
    evidence: float


def _normal_evidence() -> float:
    n = len(HEIGHTS)
    return float(stats.multivariate_normal(np.zeros(n), np.eye(n) + 4.0).logpdf(HEIGHTS))


def _beta_evidence() -> float:
    ones, n = int(TOSSES.sum()), len(TOSSES)
    return float(stats.betabinom(n, 2.0, 3.0).logpmf(ones) - stats.binom(n, 0.5).logpmf(ones) + n * np.log(0.5))


def _gamma_evidence() -> float:
    # of a sequence: each count is negative binomial given those before it
    a, b, total = 2.0, 0.5, 0.0
    for y in COUNTS:
        total += float(stats.nbinom(a, b / (b + 1.0)).logpmf(y))
        a, b = a + y, b + 1.0
    return total


CASES = {
    "normal-normal": Conjugate(
        normal_model,
        normal_guide,
        HEIGHTS,
        stats.norm(HEIGHTS.sum() / (len(HEIGHTS) + 0.25), (len(HEIGHTS) + 0.25) ** -0.5),
        lambda params: stats.norm(params["loc"], params["scale"]),
        _normal_evidence(),
    ),
    "beta-binomial": Conjugate(
        beta_model,
        beta_guide,
        TOSSES,
        stats.beta(2.0 + TOSSES.sum(), 3.0 + (1 - TOSSES).sum()),
        lambda params: stats.beta(params["a"], params["b"]),
        _beta_evidence(),
    ),
    "gamma-poisson": Conjugate(
        gamma_model,
        gamma_guide,
        COUNTS,
        stats.gamma(2.0 + COUNTS.sum(), scale=1.0 / (0.5 + len(COUNTS))),
        lambda params: stats.gamma(params["a"], scale=1.0 / params["b"]),
        _gamma_evidence(),
    ),
}
PARTICLES = 64


def _or_slow(name: str) -> Any:
    # the samplers of Beta and Gamma and their gradients take many seconds to compile
    return name if name == "normal-normal" else pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[_or_slow(name) for name in CASES])
def fitted(request: pytest.FixtureRequest) -> tuple[Conjugate, VariationalFit]:
    case = CASES[request.param]
    settings = SviSettings(learning_rate=0.1, particles=PARTICLES, stopping=None)
    return case, svi(case.model, case.guide, case.data, steps=600, settings=settings)


def test_conjugate_posterior_moments_are_found(fitted: tuple[Conjugate, VariationalFit]) -> None:
    case, fit = fitted
    # Monte Carlo: the cooled steps average over the draws of about a hundred steps; 4 standard errors of a mean and of
    # a standard deviation from so many draws (the guide's family holds the posterior, so nothing else is in the way)
    draws = 100 * PARTICLES
    found, exact = case.of_params(fit.params), case.posterior
    assert abs(found.mean() - exact.mean()) < 4 * exact.std() / np.sqrt(draws)
    assert found.std() == pytest.approx(exact.std(), rel=4 / np.sqrt(2 * draws))


def test_elbo_reaches_the_evidence_and_does_not_exceed_it(fitted: tuple[Conjugate, VariationalFit]) -> None:
    case, fit = fitted
    last = fit.elbo[-100:]
    assert last.mean() == pytest.approx(case.evidence, abs=0.01 + 4 * last.std() / 10)  # Monte Carlo: 4 errors
    elsewhere = replace(fit, params={name: 0.7 * value for name, value in fit.params.items()})
    of_p, of_q = elsewhere.log_ratios(2000, seed=1)
    assert (of_p - of_q).mean() < case.evidence + 4 * (of_p - of_q).std() / np.sqrt(2000)
    # the weights' average is the evidence itself, whatever the guide: exact up to Monte Carlo
    weights = np.exp(of_p - of_q - case.evidence)
    assert abs(weights.mean() - 1.0) < 4 * weights.std() / np.sqrt(2000)


class CountedModel:
    """A model that counts how often it is traced."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, y: np.ndarray, batch_size: int | None = None) -> None:
        self.calls += 1
        normal_model(y, batch_size)


@dataclass
class Observed:
    """One fit and what was seen of it from outside."""

    fit: VariationalFit
    events: list[ProgressEvent]
    calls: list[int]
    live_arrays: list[int]


@pytest.fixture(scope="module")
def observed() -> Observed:
    model = CountedModel()
    seen = Observed(None, [], [], [])

    def follow(event: ProgressEvent) -> None:
        seen.events.append(event)
        seen.calls.append(model.calls)
        seen.live_arrays.append(len(jax.live_arrays()))

    seen.fit = svi(model, normal_guide, HEIGHTS, steps=10_000, settings=NO_STOP, progress=follow)
    return seen


def test_ten_thousand_steps_trace_once_and_keep_nothing(observed: Observed) -> None:
    fits = [k for k, event in enumerate(observed.events) if event.stage == "fit"]
    assert len(fits) > 5
    compiled = next(k for k, event in enumerate(observed.events) if event.stage == "compile" and event.done)
    assert {observed.calls[k] for k in fits} == {observed.calls[compiled]}
    assert len({observed.live_arrays[k] for k in fits[1:]}) == 1


def test_progress_ends_at_the_total(observed: Observed) -> None:
    assert [event.stage for event in observed.events[:2]] == ["compile", "compile"]
    done = [event.done for event in observed.events if event.stage == "fit"]
    assert done == sorted(done)
    assert done[-1] == 10_000 == len(observed.fit.elbo)
    assert set(observed.events[-1].info) == {"elbo", "steps_per_second"}
    assert not jax.config.jax_enable_x64


def test_chunks_are_bit_for_bit_one_long_run(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svi_module, "LONGEST_CHUNK", 70)
    in_chunks = svi(normal_model, normal_guide, HEIGHTS, steps=10_000, settings=NO_STOP)
    np.testing.assert_array_equal(in_chunks.elbo, observed.fit.elbo)  # exact
    assert in_chunks.params == observed.fit.params


def _press(event: ProgressEvent) -> None:
    if event.stage == "fit" and event.done > 3:
        signal.raise_signal(signal.SIGINT)


def _raise(event: ProgressEvent) -> None:
    if event.stage == "fit" and event.done > 3:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "progress", [pytest.param(_press, id="pressed"), pytest.param(_raise, id="raised", marks=pytest.mark.slow)]
)
def test_interrupt_keeps_the_steps_made(observed: Observed, progress: Callable[[ProgressEvent], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit = svi(normal_model, normal_guide, HEIGHTS, steps=10_000, settings=NO_STOP, progress=progress)
    assert signal.getsignal(signal.SIGINT) is before
    assert fit.interrupted
    assert 3 < len(fit.elbo) < 10_000
    assert fit.ended == f"interrupted at step {len(fit.elbo)} of 10000"
    np.testing.assert_array_equal(fit.elbo, observed.fit.elbo[: len(fit.elbo)])  # exact


@pytest.mark.slow
def test_interrupt_at_the_last_step_is_not_forgotten() -> None:
    """All steps are made, and still whoever goes on from here has to know that somebody pressed Ctrl-C."""

    def press_last(event: ProgressEvent) -> None:
        if event.stage == "fit" and event.done == event.total:
            signal.raise_signal(signal.SIGINT)

    fit = svi(normal_model, normal_guide, HEIGHTS, steps=4, settings=NO_STOP, progress=press_last)
    assert len(fit.elbo) == 4
    assert fit.interrupted
    assert fit.ended == "interrupted at step 4 of 4"


def test_mini_batches_have_the_elbo_of_all_data() -> None:
    still = SviSettings(learning_rate=0.0, stopping=None, precision="float64", particles=4)
    whole = svi(normal_model, normal_guide, HEIGHTS, steps=3000, settings=still)
    parts = svi(normal_model, normal_guide, HEIGHTS, steps=3000, batch_size=2, settings=still)
    error = np.hypot(whole.elbo.std(), parts.elbo.std()) / np.sqrt(3000)
    assert parts.elbo.std() > 1.2 * whole.elbo.std()  # rows do differ between steps
    assert abs(whole.elbo.mean() - parts.elbo.mean()) < 4 * error  # Monte Carlo: 4 standard errors


def local_model(y: np.ndarray, batch_size: int | None = None) -> None:
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.5))
    with numpyro.plate("place", y.shape[0], subsample_size=batch_size) as rows:
        mean = numpyro.sample("mean", dist.Normal(0.0, scale))
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[rows])


@pytest.mark.slow
def test_autoguide_of_mini_batches_has_every_row_afterwards() -> None:
    fit = svi(local_model, AutoNormal(local_model), np.tile(HEIGHTS, 3), steps=20, batch_size=4)
    drawn = fit.sample(5)
    assert drawn["mean"].shape == (5, 12)
    assert drawn["mean"].dtype == np.float32  # mini-batches compute in single precision unless told otherwise
    np.testing.assert_array_equal(drawn["mean"], fit.sample(5)["mean"])  # exact: seeds are explicit
    assert not np.array_equal(drawn["mean"], fit.sample(5, seed=1)["mean"])


@pytest.mark.slow
def test_any_optimizer_with_a_schedule_of_its_own() -> None:
    schedule = optax.cosine_decay_schedule(0.1, 400)
    settings = SviSettings(particles=16, stopping=None, cooling=0.0)
    fit = svi(normal_model, normal_guide, HEIGHTS, steps=400, optimizer=optax.adam(schedule), settings=settings)
    assert fit.params["loc"] == pytest.approx(HEIGHTS.sum() / 4.25, abs=0.05)  # a tenth of the posterior's spread


def test_steps_without_a_finite_loss_are_left_out_and_counted() -> None:
    def broken(y: np.ndarray) -> None:
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        numpyro.factor("trap", jnp.where(mean > 1.0, jnp.nan, 0.0))

    fit = svi(broken, normal_guide, HEIGHTS, steps=50, settings=NO_STOP)
    assert 0 < np.isnan(fit.elbo).sum() < 50
    assert np.isfinite(fit.params["loc"])


def two_sites_guide(y: np.ndarray) -> None:
    normal_guide(y)
    numpyro.sample("width", dist.LogNormal(0.0, 0.1))


REFUSED = {
    "a site without a guide": (local_model, normal_guide, HEIGHTS, {}, "guide: the guide has no scale"),
    "a guide without a site": (normal_model, two_sites_guide, HEIGHTS, {}, "the model has no"),
    "no steps": (normal_model, normal_guide, HEIGHTS, {"steps": 0}, "steps: not usable; expected a whole number"),
    "a parameter nobody has": (normal_model, normal_guide, HEIGHTS, {"start": {"lok": 1.0}}, "start: not a parameter"),
    "too many devices": (normal_model, normal_guide, HEIGHTS, {"settings": SviSettings(devices=99)}, "devices: there"),
    "numbers too large": (
        normal_model,
        normal_guide,
        np.array([2**40]),
        {"batch_size": 1},
        "choose precision 'float64'",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_fitted_is_refused_in_words(case: Any) -> None:
    model, guide, data, options, message = case
    with pytest.raises((ConfigurationError, DataError, MissingDependencyError), match=message):
        svi(model, guide, data, **options)


def test_early_stopping_cools_down_and_prints_its_rule() -> None:
    rule = EarlyStopping(window=100)
    course = Course(10_000, SviSettings(stopping=rule, cooling=0.5))
    generator = np.random.default_rng(1)
    while not course.is_over:
        n = min(64, course.next_stop - course.done)
        at = course.done + np.arange(n)
        course.add(-(generator.normal(size=n) - 100.0 * np.exp(-at / 100.0)))
    assert course.level_at is not None
    assert 300 < course.level_at < 3000
    assert len(course.elbo) == course.end == course.level_at + course.level_at // 2
    assert rule.words in course.ended
    assert f"level at step {course.level_at}" in course.ended


def test_arrays_are_data_and_everything_else_is_the_program() -> None:
    call = Call.of((np.arange(3), {"x": np.ones(2)}), {"size": 3, "name": "a", "nothing": None})
    assert len(call.arrays) == 2
    args, kwargs = call.arguments(("first", "second"))
    assert args == ("first", {"x": "second"})
    assert kwargs == {"size": 3, "name": "a", "nothing": None}
    assert Call.of((np.arange(3),), {}, constant=True).arrays == ()


def test_ratios_of_single_precision_fits_are_computed_in_double() -> None:
    """At the exact posterior every ratio is the log evidence; in single precision they scatter by whole nats."""
    y = 300.0 + np.random.default_rng(0).normal(size=3000)
    fit = svi(normal_model, normal_guide, y, steps=1, batch_size=10, settings=NO_STOP)
    assert not fit.is_double
    precision = len(y) + 0.25
    exact = replace(fit, params={"loc": np.float64(y.sum() / precision), "scale": np.float64(precision**-0.5)})
    of_model, of_guide = exact.log_ratios(20)
    # float64 sums of size 3e4: rounding near 1e-11 each
    np.testing.assert_allclose(of_model - of_guide, (of_model - of_guide)[0], rtol=0, atol=1e-8)
