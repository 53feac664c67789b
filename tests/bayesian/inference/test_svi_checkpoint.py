"""Checkpoints: a fit that is stopped anywhere and resumed has the bits of one that never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from modelwright.bayesian.inference.variational import Checkpoints, SviSettings, svi
from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.core.progress import ProgressEvent

# One file for this process and for those that are killed.
MODEL = """
import numpy as np, numpyro, numpyro.distributions as dist
from numpyro.distributions import constraints

Y = np.linspace(-1.0, 3.0, 200)

def model(y, batch_size=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    with numpyro.plate("place", y.shape[0], subsample_size=batch_size) as rows:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[rows])

def guide(y, batch_size=None):
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mean", dist.Normal(loc, scale))
"""
namespace: dict[str, object] = {}
exec(MODEL, namespace)  # the text is this file's own
STEPS, OPTIONS = 1500, {"batch_size": 20, "seed": 7}
SETTINGS = SviSettings()


class Crash(Exception):
    """Stands for a power cut between two chunks."""


def fit(folder: Path | None, *, crash_at: int | None = None, settings: SviSettings = SETTINGS):
    def follow(event: ProgressEvent) -> None:
        if crash_at is not None and event.stage == "fit" and event.done >= crash_at:
            raise Crash

    checkpoints = None if folder is None else Checkpoints(folder, every_steps=100)
    return svi(
        namespace["model"],
        namespace["guide"],
        namespace["Y"],
        steps=STEPS,
        settings=settings,
        checkpoints=checkpoints,
        progress=follow,
        **OPTIONS,
    )


def test_resumed_fit_has_the_bits_of_one_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.bayesian.inference.variational.LONGEST_CHUNK", 130)
    with pytest.raises(Crash):
        fit(tmp_path, crash_at=700)
    with np.load(tmp_path / "svi.npz", allow_pickle=False) as stored:
        assert 100 <= len(stored["elbo"]) < STEPS
    resumed, whole = fit(tmp_path), fit(None)
    np.testing.assert_array_equal(resumed.elbo, whole.elbo)  # exact
    assert resumed.params == whole.params
    assert resumed.ended == whole.ended

    with pytest.raises(ConfigurationError, match="holds a checkpoint of another fit"):
        fit(tmp_path, settings=SviSettings(learning_rate=0.5))
    (tmp_path / "svi.npz").write_bytes((tmp_path / "svi.npz").read_bytes()[:200])
    with pytest.raises(StorageError, match="remove it and fit anew"):
        fit(tmp_path)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    script = f"""
{MODEL}
import sys, time
from modelwright.bayesian.inference.variational import Checkpoints, svi
import modelwright.bayesian.inference.variational as module
module.LONGEST_CHUNK = 20
fit = svi(model, guide, Y, steps={STEPS}, checkpoints=Checkpoints({str(tmp_path)!r}, every_steps=20),
          progress=lambda event: time.sleep(0.02), **{OPTIONS!r})
np.savez({str(tmp_path / "done.npz")!r}, elbo=fit.elbo, **fit.params)
"""
    kills = 0
    for delay in (0.05, 0.4, 0.9, None):
        process = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
        seen = (tmp_path / "svi.npz").stat().st_mtime_ns if (tmp_path / "svi.npz").exists() else 0
        if delay is not None:
            deadline = time.monotonic() + 300
            while not (tmp_path / "svi.npz").exists() or (tmp_path / "svi.npz").stat().st_mtime_ns == seen:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(delay)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills > 0
    whole = fit(None)
    with np.load(tmp_path / "done.npz") as found:
        np.testing.assert_array_equal(found["elbo"], whole.elbo)  # exact
        assert found["loc"] == whole.params["loc"]
