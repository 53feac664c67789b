"""The event-rate model as users of PyMC, nutpie and NumPyro write it, sampled with these packages' own functions.

    python benchmarks/plain_samplers.py counts.npz nutpie --draws 1000 --tune 1000

A dense model: one observed count per window. Prints one line of JSON: seconds of compiling and sampling (imports not
counted) by the clock and of processors, those of child processes included, and the smallest effective sample size over
the population's parameters and the rates.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CHAINS = 4
SEED = 1

if "numpyro" in sys.argv:  # before JAX starts: a device for each chain, as NumPyro's documentation advises on a CPU
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CHAINS}"


def main() -> int:
    """Sample once and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path, help="npz file with arrays entity (0, 1, ...) and count, one per window")
    parser.add_argument("sampler", choices=sorted(SAMPLERS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=1000)
    options = parser.parse_args()
    with np.load(options.counts) as file:
        entity, count = file["entity"], file["count"]
    seconds, trace = SAMPLERS[options.sampler](entity, count, options.draws, options.tune)
    processor = processor_seconds()
    import arviz as az

    ess = az.ess(trace, var_names=["mu", "alpha", "phi", "theta"])
    smallest = {name: float(values.min()) for name, values in ess.items()}
    print(json.dumps({"seconds": seconds, "processor": processor, "ess": smallest}))
    return 0


def processor_seconds() -> float:
    """Of this process and its children so far, imports included: a few seconds of minutes."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def with_pymc(entity: np.ndarray, count: np.ndarray, draws: int, tune: int) -> tuple[float, object]:
    """PyMC's own NUTS."""
    import pymc as pm

    began = time.perf_counter()
    with pymc_model(entity, count):
        trace = pm.sample(draws=draws, tune=tune, chains=CHAINS, target_accept=0.9, random_seed=SEED, progressbar=False)
    return time.perf_counter() - began, trace


def with_nutpie(entity: np.ndarray, count: np.ndarray, draws: int, tune: int) -> tuple[float, object]:
    """Nutpie on the same model."""
    import nutpie

    began = time.perf_counter()
    compiled = nutpie.compile_pymc_model(pymc_model(entity, count))
    trace = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=CHAINS, target_accept=0.9, seed=SEED, progress_bar=False
    )
    return time.perf_counter() - began, trace


def pymc_model(entity: np.ndarray, count: np.ndarray) -> object:
    """The dense model in PyMC."""
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Exponential("mu", 0.1)
        alpha = pm.HalfNormal("alpha", 2.0)
        phi = pm.HalfNormal("phi", 2.0)
        theta = pm.Gamma("theta", alpha=mu * alpha, beta=alpha, shape=int(entity.max()) + 1)
        pm.NegativeBinomial("y", mu=theta[entity], alpha=phi, observed=count)
    return model


def with_numpyro(entity: np.ndarray, count: np.ndarray, draws: int, tune: int) -> tuple[float, object]:
    """NumPyro's NUTS, chains in parallel."""
    import arviz as az
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    def model() -> None:
        mu = numpyro.sample("mu", dist.Exponential(0.1))
        alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
        phi = numpyro.sample("phi", dist.HalfNormal(2.0))
        with numpyro.plate("entities", int(entity.max()) + 1):
            theta = numpyro.sample("theta", dist.Gamma(mu * alpha, alpha))
        numpyro.sample("y", dist.NegativeBinomial2(theta[entity], phi), obs=count)

    began = time.perf_counter()
    mcmc = MCMC(
        NUTS(model, target_accept_prob=0.9),
        num_warmup=tune,
        num_samples=draws,
        num_chains=CHAINS,
        chain_method="parallel",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(SEED))
    posterior = {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
    return time.perf_counter() - began, az.from_dict(posterior=posterior)


SAMPLERS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], tuple[float, object]]] = {
    "pymc": with_pymc,
    "nutpie": with_nutpie,
    "numpyro": with_numpyro,
}


if __name__ == "__main__":
    sys.exit(main())
