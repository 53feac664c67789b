"""The NumPyro engine: right answers, the same bits however it is cut into chunks, no second trace, prompt stops."""

import threading
from dataclasses import dataclass, replace

import arviz as az
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from modelwright.bayesian.inference import numpyro_engine
from modelwright.bayesian.inference.samplers import NutsSettings, sample_numpyro_model
from modelwright.core.errors import ConfigurationError, MissingDependencyError
from modelwright.core.progress import ProgressEvent

SMALL = NutsSettings(draws=60, tune=50, chains=3, seed=7)
Y = np.array([1.0, 3.0, 2.5, -0.5])


def normal_means(y: np.ndarray) -> None:
    """Prior N(0, 2), noise N(0, 1): the posterior of each mean is N(0.8 y, 0.8)."""
    with numpyro.plate("place", len(y)):
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        numpyro.deterministic("twice", 2.0 * mean)
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


class CountedModel:
    """A model that counts how often it is traced."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, y: np.ndarray) -> None:
        self.calls += 1
        normal_means(y)


def chains_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("chain-")]


def test_posterior_of_a_conjugate_model_is_the_closed_form() -> None:
    trace = sample_numpyro_model(normal_means, NutsSettings(draws=1000, tune=500, seed=3), model_args=(Y,))
    mcse = az.mcse(trace, var_names=["mean"])["mean"].to_numpy()
    drawn = trace.posterior["mean"].to_numpy()
    squares = (drawn - drawn.mean((0, 1))) ** 2
    ess = np.array([az.ess(squares[..., k], method="mean") for k in range(len(Y))])
    mcse_sd = squares.std((0, 1)) / np.sqrt(ess) / (2 * drawn.std((0, 1)))
    # Monte Carlo: 4 standard errors, computed from the draws
    assert (np.abs(drawn.mean((0, 1)) - 0.8 * Y) < 4 * mcse).all()
    assert (np.abs(drawn.std((0, 1)) - np.sqrt(0.8)) < 4 * mcse_sd).all()
    np.testing.assert_array_equal(trace.posterior["twice"], 2.0 * drawn)


def test_chunks_are_bit_for_bit_one_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpyro_engine, "LONGEST_CHUNK", 7)
    in_chunks = sample_numpyro_model(normal_means, SMALL, model_args=(Y,))
    total = SMALL.tune + SMALL.draws
    monkeypatch.setattr(numpyro_engine, "LONGEST_CHUNK", total)
    with jax.enable_x64(True):
        sampler = numpyro_engine._compile(normal_means, (Y,), {}, SMALL, None, None, None)
        for chain, state in enumerate(numpyro_engine._begin_chains(sampler, SMALL)):
            _, rows = sampler.advance(state, np.int32(total))
            means = sampler.constrain(rows.z)["mean"]
            np.testing.assert_array_equal(in_chunks.posterior["mean"][chain], means[SMALL.tune :])  # exact
            np.testing.assert_array_equal(in_chunks.sample_stats["energy"][chain], rows.energy[SMALL.tune :])


@dataclass
class Observed:
    """One sampling and what was seen of it from outside."""

    trace: az.InferenceData
    events: list[ProgressEvent]
    calls_when_compiled: int
    calls_at_the_end: int


@pytest.fixture(scope="module")
def observed() -> Observed:
    model, events, calls = CountedModel(), [], []

    def follow(event: ProgressEvent) -> None:
        events.append(event)
        if event.stage == "compile" and event.done:
            calls.append(model.calls)

    trace = sample_numpyro_model(model, SMALL, model_args=(Y,), progress=follow)
    return Observed(trace, events, calls[0], model.calls)


def test_model_is_not_traced_again_once_compiled(observed: Observed) -> None:
    assert observed.calls_when_compiled == observed.calls_at_the_end


def test_double_precision_is_on_only_inside(observed: Observed) -> None:
    assert observed.trace.posterior["mean"].dtype == np.float64
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(1).dtype == np.float32


def test_progress_moves_and_ends_at_the_total(observed: Observed) -> None:
    assert [event.stage for event in observed.events[:2]] == ["compile", "compile"]
    for stage, total in (("warm-up", 150), ("sample", 180)):
        done = [event.done for event in observed.events if event.stage == stage]
        assert done == sorted(done)
        assert done[-1] == total
        assert {event.total for event in observed.events if event.stage == stage} == {total}
    assert set(observed.events[-1].info) == {"divergences", "draws_per_second"}


def test_number_of_threads_does_not_change_the_draws(observed: Observed) -> None:
    one = observed.trace.posterior["mean"]
    three = sample_numpyro_model(normal_means, replace(SMALL, cores=3), model_args=(Y,)).posterior
    np.testing.assert_array_equal(one, three["mean"])  # exact
    assert three.attrs["chains_at_once"] == 3
    assert not np.array_equal(one[0], one[1])


def test_interrupt_stops_all_chains_and_is_passed_on() -> None:
    def interrupt(event: ProgressEvent) -> None:
        if event.stage == "warm-up":
            raise KeyboardInterrupt

    endless = NutsSettings(draws=2_000_000, tune=1000, chains=2)
    with pytest.raises(KeyboardInterrupt):
        sample_numpyro_model(normal_means, endless, model_args=(Y,), progress=interrupt)
    assert chains_alive() == []


def test_error_in_a_chain_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    # a store without room for the last variable, as a full machine would leave it
    whole = numpyro_engine._storage
    monkeypatch.setattr(
        numpyro_engine, "_storage", lambda *a: numpyro_engine._Drawn({"mean": np.empty((0,))}, whole(*a).statistics)
    )
    with pytest.raises((IndexError, KeyError)):
        sample_numpyro_model(normal_means, SMALL, model_args=(Y,))
    assert chains_alive() == []


def test_discrete_variables_are_refused_by_name() -> None:
    def model() -> None:
        numpyro.sample("regime", dist.Bernoulli(0.5))

    with pytest.raises(ConfigurationError, match="regime: NUTS needs continuous variables; expected a continuous dist"):
        sample_numpyro_model(model, SMALL)


def test_model_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the model has nothing to sample; expected at least one latent site"):
        sample_numpyro_model(lambda: numpyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0), SMALL)


def test_start_for_another_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"start: .* expected a value for mean, got \['maen'\]"):
        sample_numpyro_model(normal_means, SMALL, model_args=(Y,), start={"maen": Y})


def test_impossible_data_are_refused_with_a_way_out() -> None:
    def model() -> None:
        numpyro.sample("rate", dist.Exponential(1.0))
        numpyro.factor("never", -np.inf)

    with pytest.raises(ConfigurationError, match="no starting point with a finite density among 100; check that"):
        sample_numpyro_model(model, SMALL)


def test_absent_gpu_is_said_with_what_was_looked_for() -> None:
    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingDependencyError, match=r"platform: no GPU: looked for JAX devices .* sees cpu only"):
        sample_numpyro_model(normal_means, SMALL, model_args=(Y,), platform="gpu")


def test_another_platform_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="platform: not a platform; expected 'cpu' or 'gpu', got 'tpu'"):
        sample_numpyro_model(normal_means, SMALL, model_args=(Y,), platform="tpu")  # type: ignore[arg-type]
