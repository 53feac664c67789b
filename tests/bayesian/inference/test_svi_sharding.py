"""Rows shared between devices: the same fit within rounding, and the data really in parts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json
import numpy as np, numpyro, numpyro.distributions as dist
from numpyro.distributions import constraints
from modelwright.bayesian.inference.variational import SviSettings, svi
from modelwright.bayesian.inference.svi_sharding import layout_over

Y = np.linspace(-1.0, 3.0, 64)

def model(y, batch_size=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    with numpyro.plate("place", y.shape[0], subsample_size=batch_size) as rows:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y if batch_size is None else y[rows])

def guide(y, batch_size=None):
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mean", dist.Normal(loc, scale))

(placed,) = layout_over(4).place((Y,))
found = {"parts": [list(part.data.shape) for part in placed.addressable_shards]}
for batch_size in BATCHES:
    for devices in (1, 4):
        settings = SviSettings(devices=devices, precision="float64")
        fit = svi(model, guide, Y, steps=200, batch_size=batch_size, settings=settings)
        found[f"{batch_size} {devices}"] = {"elbo": fit.elbo.tolist(), "loc": float(fit.params["loc"])}
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "batch_size", [pytest.param(None, marks=pytest.mark.slow, id="all"), pytest.param(16, id="16")]
)
def test_four_devices_fit_as_one_does(batch_size: int | None) -> None:
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    script = SCRIPT.replace("BATCHES", repr([batch_size]))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parts"] == [[16]] * 4
    one, four = found[f"{batch_size} 1"], found[f"{batch_size} 4"]
    # sums over devices are added in another order: rounding of float64, which 200 steps of Adam may magnify
    np.testing.assert_allclose(four["elbo"], one["elbo"], rtol=1e-10)
    assert four["loc"] == pytest.approx(one["loc"], rel=1e-8)
