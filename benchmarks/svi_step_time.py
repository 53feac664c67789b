"""Seconds per step of svi() against a hand-written scan of NumPyro's own SVI.update, the same model in the same run.

    python benchmarks/svi_step_time.py [--cells 500 --genes 200 --steps 500 --repeats 15]

Both run Adam without clipping on a Poisson model of two numbers per gene with a mean-field guide, float32. What is
compared are the compiled loops, called with as many steps at once; repeats alternate, so that what else the machine
does falls on both, and the smallest time of each counts.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO

from modelwright.bayesian.inference.svi_sharding import layout_over
from modelwright.bayesian.inference.svi_steps import Problem, compile_steps, default_elbo
from modelwright.bayesian.inference.tracing import Call


def model(y):
    """Counts of genes with two factors each."""
    with numpyro.plate("gene", y.shape[1], dim=-1):
        mu = numpyro.sample("mu", dist.LogNormal(0.0, 1.0))
        r = numpyro.sample("r", dist.LogNormal(0.0, 1.0))
        with numpyro.plate("cell", y.shape[0], dim=-2):
            numpyro.sample("y", dist.Poisson(mu * r), obs=y)


def guide(y):
    """A log-normal for each number."""
    for name in ("mu", "r"):
        loc = numpyro.param(f"{name}_loc", jnp.zeros(y.shape[1]))
        scale = numpyro.param(f"{name}_scale", jnp.full(y.shape[1], 0.1), constraint=constraints.positive)
        with numpyro.plate("gene", y.shape[1], dim=-1):
            numpyro.sample(name, dist.LogNormal(loc, scale))


def by_hand(counts, steps):
    """Seconds per step of NumPyro's SVI.update in one scan, after compiling."""
    inference = SVI(model, guide, optax.adam(0.01), Trace_ELBO())
    data = jnp.asarray(counts)
    state = inference.init(jax.random.key(0), data)
    run = jax.jit(lambda state, y: jax.lax.scan(lambda s, _: inference.update(s, y), state, None, length=steps))
    compiled = run.lower(state, data).compile()

    def once():
        began = time.perf_counter()
        np.asarray(compiled(state, data)[1])
        return (time.perf_counter() - began) / steps

    return once


def by_svi(counts, steps):
    """Seconds per step of the loop that svi() runs."""
    problem = Problem(
        model=model,
        guide=guide,
        call=Call.of((counts,), {}),
        optimizer=optax.adam(0.01),
        elbo=default_elbo(1),
        warm_up=0,
        start={},
        layout=layout_over(1),
    )
    state, compiled = compile_steps(problem, 0, problem.call.device_arrays())
    held = [state]
    n, never = np.int32(steps), np.int32(0)

    def once():
        began = time.perf_counter()
        held[0], losses = compiled.advance(held[0], compiled.arrays, n, never, never)
        np.asarray(losses)
        return (time.perf_counter() - began) / steps

    return once


def main():
    """Print both times and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, value in (("cells", 500), ("genes", 200), ("steps", 500), ("repeats", 15)):
        options.add_argument(f"--{name}", type=int, default=value)
    asked = options.parse_args()
    rng = np.random.default_rng(0)
    counts = rng.negative_binomial(2.0, 0.4, (asked.cells, asked.genes)).astype(np.int32)
    hand, ours = by_hand(counts, asked.steps), by_svi(counts, asked.steps)
    times = []
    for _ in range(asked.repeats):
        times.append((hand(), ours()))
        print(*(f"{1e6 * seconds:.1f}" for seconds in times[-1]), flush=True)
    best_hand, best_ours = (min(column) for column in zip(*times, strict=True))
    print(f"{asked.cells} cells x {asked.genes} genes, {asked.steps} steps, best of {asked.repeats}, float32")
    print(f"SVI.update in a scan  {1e6 * best_hand:10.1f} microseconds per step")
    print(f"svi()                 {1e6 * best_ours:10.1f} microseconds per step")
    print(f"ratio                 {best_ours / best_hand:10.3f}")


if __name__ == "__main__":
    main()
