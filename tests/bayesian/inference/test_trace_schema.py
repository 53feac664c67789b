"""Every engine leaves the same kind of trace, reports progress, and passes interrupts on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import pytest

from modelwright.bayesian.inference.samplers import ENGINES, NutsSettings, sample_numpyro_model, sample_pymc_model
from modelwright.bayesian.inference.traces import STATISTICS
from modelwright.core.errors import ConfigurationError, MissingDependencyError, NotFoundError
from modelwright.core.progress import ProgressEvent, ignore_progress

SETTINGS = NutsSettings(draws=120, tune=200, chains=2, seed=5, target_accept=0.85)
PLACES = ["north", "east", "south"]
Y = np.array([1.0, 3.0, 2.5])


def sample(engine: str, progress=ignore_progress, settings: NutsSettings = SETTINGS) -> az.InferenceData:
    """The posterior of three normal means with a common positive spread."""
    if engine == "numpyro":
        import numpyro
        import numpyro.distributions as dist

        def model() -> None:
            spread = numpyro.sample("spread", dist.HalfNormal(3.0))
            with numpyro.plate("place", 3):
                mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
                numpyro.deterministic("level", mean * spread)
                numpyro.sample("y", dist.Normal(mean * spread, 1.0), obs=Y)

        dims = {"mean": ["place"], "level": ["place"]}
        return sample_numpyro_model(model, settings, coords={"place": PLACES}, dims=dims, progress=progress)
    import pymc as pm

    with pm.Model(coords={"place": PLACES}) as pymc_model:
        spread = pm.HalfNormal("spread", 3.0)
        mean = pm.Normal("mean", 0.0, 1.0, dims="place")
        level = pm.Deterministic("level", mean * spread, dims="place")
        pm.Normal("y", level, 1.0, observed=Y, dims="place")
    return sample_pymc_model(pymc_model, settings, engine=engine, progress=progress)


@pytest.fixture(scope="module", params=["numpyro", "pymc", "nutpie"])
def sampled(request: pytest.FixtureRequest) -> tuple[str, az.InferenceData, list[ProgressEvent]]:
    events: list[ProgressEvent] = []
    return request.param, sample(request.param, events.append), events


def test_posterior_has_the_same_names_dimensions_and_labels(sampled) -> None:
    _, trace, _ = sampled
    posterior = trace.posterior
    assert set(posterior.data_vars) == {"spread", "mean", "level"}
    assert posterior["mean"].dims == ("chain", "draw", "place")
    assert posterior["spread"].shape == (2, 120)
    assert posterior["place"].to_numpy().tolist() == PLACES
    assert all(posterior[name].dtype == np.float64 for name in posterior.data_vars)
    np.testing.assert_allclose(posterior["level"], posterior["mean"] * posterior["spread"], rtol=1e-12)


def test_statistics_have_the_same_names_and_types(sampled) -> None:
    _, trace, _ = sampled
    stats = trace.sample_stats
    assert {name: stats[name].dtype.type for name in stats.data_vars} == STATISTICS
    assert all(stats[name].dims == ("chain", "draw") for name in stats.data_vars)
    assert np.isfinite(stats["energy"]).all()
    # the Hamiltonian is the potential plus a kinetic energy, never less than the potential
    assert (stats["energy"] >= -stats["lp"] - 1e-9).all()
    assert ((stats["acceptance_rate"] >= 0) & (stats["acceptance_rate"] <= 1)).all()
    # a tree of depth d takes from 2^(d-1) to 2^d - 1 steps
    assert (stats["n_steps"] >= 2 ** (stats["tree_depth"] - 1)).all()
    assert (stats["n_steps"] < 2 ** stats["tree_depth"]).all()
    assert not stats["reached_max_tree_depth"].any()
    assert float(az.bfmi(trace).min()) > 0


@pytest.mark.parametrize("engine", ["numpyro", "pymc", "nutpie"])
def test_trajectories_that_are_cut_short_are_told(engine: str) -> None:
    """Three steps are too few here (above, no trajectory is cut short, and many are longer)."""
    stats = sample(engine, settings=replace(SETTINGS, draws=80, tune=80, max_tree_depth=2)).sample_stats
    cut = stats["reached_max_tree_depth"].to_numpy()
    assert (stats["n_steps"] <= 3).all()
    assert cut.any()
    assert (stats["n_steps"].to_numpy()[cut] == 3).all()


def test_attributes_say_who_sampled_and_how(sampled) -> None:
    engine, trace, _ = sampled
    attrs = trace.posterior.attrs
    assert attrs["engine"] == engine
    assert attrs["engine_version"]
    assert attrs["sampling_seconds"] > 0
    assert {key: attrs[key] for key in ("tuning_steps", "seed", "target_accept", "platform")} == {
        "tuning_steps": 200,
        "seed": 5,
        "target_accept": 0.85,
        "platform": "cpu",
    }
    assert trace.sample_stats.attrs["engine"] == engine


def test_progress_has_both_stages_to_their_ends(sampled) -> None:
    _, _, events = sampled
    assert [event.done for event in events if event.stage == "compile"] == [0, 1]
    last = {event.stage: event for event in events}
    assert (last["warm-up"].done, last["warm-up"].total) == (400, 400)
    assert (last["sample"].done, last["sample"].total) == (240, 240)
    assert last["sample"].info["draws_per_second"] > 0
    assert "divergences" in last["sample"].info


def test_trace_survives_a_file(sampled, tmp_path: Path) -> None:
    _, trace, _ = sampled
    trace.to_netcdf(str(tmp_path / "trace.nc"), engine="h5netcdf")
    read = az.from_netcdf(str(tmp_path / "trace.nc"), engine="h5netcdf")
    np.testing.assert_array_equal(read.posterior["mean"], trace.posterior["mean"])
    np.testing.assert_array_equal(read.sample_stats["diverging"], trace.sample_stats["diverging"])


@pytest.mark.parametrize("engine", ["pymc", pytest.param("nutpie", marks=pytest.mark.slow)])
def test_interrupt_during_sampling_is_passed_on(engine: str) -> None:
    def interrupt(event: ProgressEvent) -> None:
        if event.stage == "warm-up":
            raise KeyboardInterrupt

    long = NutsSettings(draws=50_000, tune=1000, chains=2)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        sample(engine, interrupt, long)
    assert time.perf_counter() - began < 60  # 100,000 draws would take PyMC minutes


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import test_trace_schema as here

def tell(event):
    if event.stage == "warm-up":
        print("sampling", flush=True)

if __name__ == "__main__":
    try:
        here.sample({engine!r}, tell, here.NutsSettings(draws=400_000, tune=1000, chains=2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpyro", "pymc", "nutpie"])
def test_signal_of_the_keyboard_stops_a_training(engine: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(Path(__file__).parent), engine=engine))
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sampling\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        rest = process.stdout.read()
        process.wait(timeout=60)
    assert rest.splitlines()[-1] == "interrupted"
    assert time.perf_counter() - sent < 20
    assert process.returncode == 0


def test_engine_that_is_not_installed_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nutpie", None)  # what Python itself keeps for a module that must not be imported
    with pytest.raises(MissingDependencyError) as refusal:
        sample("nutpie")
    assert str(refusal.value) == (
        "engine: the engine nutpie needs nutpie, not installed here; pip install 'modelwright[nutpie]'"
    )


def test_numpyro_that_is_not_installed_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'modelwright\[numpyro\]'"):
        sample_numpyro_model(lambda: None, SETTINGS)


def test_unknown_engine_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"engine: .* expected 'pymc' or 'nutpie', got 'stan'"):
        sample_pymc_model(None, SETTINGS, engine="stan")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="no engine is called 'nutpi'; did you mean 'nutpie'"):
        ENGINES["nutpi"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("draws", 0, "a whole number of at least 1, got 0"),
        ("tune", 1.5, "a whole number of at least 1, got 1.5"),
        ("chains", True, "a whole number of at least 1, got True"),
        ("cores", 0, "a whole number of at least 1, got 0"),
        ("max_tree_depth", 21, "a whole number of at most 20, got 21"),
        ("target_accept", 1.0, "a number between 0 and 1, got 1.0"),
        ("target_accept", float("nan"), "a number between 0 and 1, got nan"),
        ("seed", -1, "an integer from 0 to 4294967295, got -1"),
    ],
)
def test_settings_refuse_what_makes_no_sense(field: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{field}: .*expected {expected}"):
        NutsSettings(**{field: value})
