"""The trainer's step against the same network's step written by hand: in Flax NNX and JAX, and in PyTorch.

    python benchmarks/trainer_speed.py [--peer-python path/to/python/with/torch] [--repeats 25]

A variational autoencoder of 784 black and white pixels, 784-512-256-64 latents and back, batches of 128, Adam. All
look at the same random images. They take turns, in another order each round, so that what else the machine does, and
what the one before left in its caches, falls on all; medians of the time of a step are printed, and of ratios.

    house           the compiled loop of `Trainer.fit`: batches by number, metrics of every step, looks left out
    by hand, jit    one jitted NNX step for each call, called from Python, batches sliced on the device
    by hand, loop   the same step in a fori_loop over as many steps as the trainer makes between two looks
    PyTorch         eager, as such training is usually written, all cores; `trainer_speed_peer.py`

Exit status: 0 when the trainer takes at most 1.05 times as long as the faster of the two by hand, and no longer than
PyTorch where it was given.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.training.examples import Rows, numbers_of_steps
from modelwright.generative.training.placement import placement_of
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.steps import Program, advance, begun

BATCH, STEPS, IMAGES = 128, 100, 12_800
PEER = Path(__file__).with_name("trainer_speed_peer.py")


def images() -> np.ndarray:
    """Random black and white images, shape (n, 784)."""
    return (np.random.default_rng(0).random((IMAGES, 784)) < 0.2).astype(np.float32)


def house(x: np.ndarray) -> Callable[[], float]:
    """A call that makes `STEPS` steps of the trainer's loop; the last loss."""
    config = ModelConfiguration(
        name="speed",
        model_class="modelwright.generative.vae.VAE",
        input_dim=784,
        hidden_dims=[512, 256],
        output_dim=64,
    )
    model = create_model(config, rngs=0)
    settings = TrainingSettings(batch_size=BATCH)
    graph, _, _ = nnx.split(model, nnx.Param, ...)
    program = Program(graph, model.objectives(), settings, 10_000, placement_of(BATCH).place)
    kept: dict[str, Any] = {"state": begun(program, model), "step": 0}
    examples, key = Rows(jnp.asarray(x)), jax.random.key(0)

    def call() -> float:
        numbers = numbers_of_steps(IMAGES, BATCH, kept["step"], STEPS, 0)[:, None]
        kept["state"], table = advance(program, kept["state"], examples, jnp.asarray(numbers), jnp.asarray(STEPS), key)
        kept["step"] += STEPS
        return float(np.asarray(table["loss"])[-1])

    return call


class ByHand(nnx.Module):
    """The same autoencoder, written out."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.a = nnx.Linear(784, 512, rngs=rngs)
        self.b = nnx.Linear(512, 256, rngs=rngs)
        self.c = nnx.Linear(256, 128, rngs=rngs)
        self.d = nnx.Linear(64, 256, rngs=rngs)
        self.e = nnx.Linear(256, 512, rngs=rngs)
        self.f = nnx.Linear(512, 784, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """The loss of a batch, nats per example."""
        mean, log_variance = jnp.split(self.c(jax.nn.relu(self.b(jax.nn.relu(self.a(x))))), 2, axis=-1)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        logits = self.f(jax.nn.relu(self.e(jax.nn.relu(self.d(z)))))
        distortion = (jax.nn.softplus(logits) - x * logits).sum(-1)
        rate = 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1.0).sum(-1)
        return (distortion + rate).mean()


def by_hand(x: np.ndarray, *, looped: bool) -> Callable[[], float]:
    """A call that makes `STEPS` steps of a step written by hand; the last loss."""
    graph, params = nnx.split(ByHand(nnx.Rngs(0)))
    optimizer = optax.adam(1e-3)
    kept: dict[str, Any] = {"params": params, "state": optimizer.init(params), "step": 0}
    data = jnp.asarray(x)

    def step(params: Any, state: Any, number: Any) -> Any:
        start = (number * BATCH) % (IMAGES - BATCH + 1)
        batch = jax.lax.dynamic_slice_in_dim(data, start, BATCH)
        key = jax.random.fold_in(jax.random.key(0), number)
        loss, gradient = jax.value_and_grad(lambda p: nnx.merge(graph, p)(batch, key))(params)
        changes, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, changes), state, loss

    once = jax.jit(step, donate_argnums=(0, 1))

    def many(params: Any, state: Any, number: Any) -> Any:
        def body(k: Any, carried: Any) -> Any:
            return step(carried[0], carried[1], number + k)

        return jax.lax.fori_loop(0, STEPS, body, (params, state, jnp.zeros(())))

    whole = jax.jit(many, donate_argnums=(0, 1))

    def call() -> float:
        if looped:
            kept["params"], kept["state"], loss = whole(kept["params"], kept["state"], jnp.asarray(kept["step"]))
        else:
            for k in range(STEPS):
                kept["params"], kept["state"], loss = once(kept["params"], kept["state"], jnp.asarray(kept["step"] + k))
        kept["step"] += STEPS
        return float(loss)

    return call


def peer(python: Path) -> float:
    """Seconds of `STEPS` steps in PyTorch, in a process of its own, which does not count its start."""
    command = [str(python), str(PEER), str(BATCH), str(STEPS), str(IMAGES)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    """Print medians and ratios; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", type=Path, help="an interpreter that has torch")
    parser.add_argument("--repeats", type=int, default=25)
    options = parser.parse_args()
    x = images()
    calls = {"house": house(x), "by hand, jit": by_hand(x, looped=False), "by hand, loop": by_hand(x, looped=True)}
    for name, call in calls.items():
        began = time.perf_counter()
        call()
        print(f"{name}: first {STEPS} steps with compilation {time.perf_counter() - began:.1f} s", flush=True)
    if options.peer_python is not None:
        calls["PyTorch"] = lambda: peer(options.peer_python)
    spent: dict[str, list[float]] = {name: [] for name in calls}
    shuffled = random.Random(0)
    for _ in range(options.repeats):
        for name in shuffled.sample(list(calls), len(calls)):
            began = time.perf_counter()
            own = calls[name]()
            spent[name].append((own if name == "PyTorch" else time.perf_counter() - began) / STEPS)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    print("| | ms a step, median | least to most | trainer takes |")
    print("|---|---|---|---|")
    ratios = {}
    for name, values in spent.items():
        # round by round: what the machine did to one round it did to both
        ratios[name] = statistics.median(a / b for a, b in zip(spent["house"], values, strict=True))
        span = f"{1e3 * min(values):.2f} to {1e3 * max(values):.2f}"
        print(f"| {name} | {1e3 * medians[name]:.2f} | {span} | {ratios[name]:.2f} times as long |")
    fine = max(ratios["by hand, jit"], ratios["by hand, loop"]) <= 1.05 and ratios.get("PyTorch", 0.0) <= 1.0
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
