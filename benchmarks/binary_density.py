"""Exact models on the binary density sets: test log-likelihood in nats beside the published figures of MADE.

    python benchmarks/binary_density.py --data-dir ../shared/data --sets nltcs [--hidden 500 --steps 20000 --seeds 0]

Official splits. Training stops after `--patience` looks at the validation set without a better one, and the best
parameters are kept. The published figures are MADE's with one order or several, as remembered: check before quoting.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.training import Trainer, TrainingSettings

PUBLISHED = {"nltcs": -6.04, "baudio": -38.95, "bnetflix": -55.16, "dna": -82.77}
"""MADE, test nats."""


def splits(folder, name):
    """Training, validation and test rows of zeros and ones."""
    with np.load(folder / "binary_density" / f"{name}.npz") as file:
        columns = int(file["n_vars"])
        parts = [np.unpackbits(file[part], axis=1)[:, :columns] for part in ("train", "valid", "test")]
    return [part.astype(np.int32) for part in parts]


def log_likelihood(model, x, size=1024):
    """Mean log-likelihood and its standard error over the rows."""
    each = np.concatenate(
        [np.asarray(model.log_prob(jnp.asarray(x[k : k + size])).value) for k in range(0, len(x), size)]
    )
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def main():
    """Train on each set and print one line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["nltcs"])
    parser.add_argument("--hidden", type=int, nargs="+", default=[500])
    parser.add_argument("--order", choices=("natural", "random"), default="natural")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--evaluate-every", type=int, default=250)
    parser.add_argument("--patience", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    for name in asked.sets:
        train, valid, test = splits(asked.data_dir, name)
        for seed in asked.seeds:
            parameters = {"order": "random", "order_seed": seed} if asked.order == "random" else {}
            config = ModelConfiguration(
                name=name,
                model_class="modelwright.generative.autoregressive.MADE",
                input_dim=(train.shape[1],),
                hidden_dims=asked.hidden,
                parameters=parameters,
            )
            model = create_model(config, rngs=seed)
            settings = TrainingSettings(
                batch_size=asked.batch_size,
                learning_rate=asked.learning_rate,
                weight_decay=asked.weight_decay,
                seed=seed,
            )
            fit = Trainer(model, settings).fit(
                train,
                steps=asked.steps,
                eval_data=valid,
                evaluate_every=asked.evaluate_every,
                patience=asked.patience,
            )
            mean, error = log_likelihood(model, test)
            published = f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else "unknown"
            print(
                f"{name} ({len(train)} x {train.shape[1]}), seed {seed}: test {mean:.3f} +- {error:.3f} nats "
                f"(published MADE {published}); best validation {-fit.best[1]:.3f} at step {fit.best[0]}, "
                f"{fit.steps} steps in {fit.seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
