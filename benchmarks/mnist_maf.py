"""The test bits per dimension of MNIST under a masked autoregressive flow.

    python benchmarks/mnist_maf.py --data-dir path/to/data [--epochs 40] [--seeds 0] [--hidden 1024] [--transforms 5]

Greys of 256 levels, their gaps filled with uniform noise (anew at every look), then the logit of a + (1 - 2a) y with
a = 1e-6: the setting of G. Papamakarios, T. Pavlakou, I. Murray (2017), https://arxiv.org/abs/1705.07057, whose flow of
five layers reaches 1.89. The last 10,000 training images choose when to stop. Normalisation is the ActNorm of Glow
where theirs is batch normalisation. Figures are bounds (the gaps are filled) of the official test images, averaged
over --looks fillings; seconds are those of training, compilation included.

Exit status: 0 when the mean over seeds is at most --target.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.factory import create_model
from modelwright.generative.evaluation.likelihood import bits_per_dim
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import count_parameters
from modelwright.generative.training import Trainer, TrainingSettings


def main() -> int:
    """Train once for every seed and print a row for each; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with images/mnist.npz")
    parser.add_argument("--epochs", type=float, default=40.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[1024])
    parser.add_argument("--transforms", type=int, default=5)
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--ema", type=float, help="also average the parameters, and judge the average")
    parser.add_argument("--patience", type=int, default=5, help="epochs without a better validation figure")
    parser.add_argument("--looks", type=int, default=4)
    parser.add_argument("--target", type=float, default=1.89)
    parser.add_argument("--checkpoints", type=Path, help="a folder to go on from when stopped")
    options = parser.parse_args()
    with np.load(options.data_dir / "images" / "mnist.npz") as arrays:
        images, test = (arrays[name].reshape(-1, 784) for name in ("x_train", "x_test"))
    train, valid = images[:-10_000], images[-10_000:]
    epoch = len(train) // options.batch
    found = []
    for seed in options.seeds:
        configuration = ModelConfiguration(
            name="mnist",
            model_class="modelwright.generative.flow.MAF",
            input_dim=784,
            hidden_dims=options.hidden,
            activation=options.activation,
            parameters={"n_transforms": options.transforms},
        )
        model = create_model(configuration, rngs=seed, modality="image")
        settings = TrainingSettings(
            batch_size=options.batch,
            learning_rate=options.learning_rate,
            schedule="cosine",
            final_rate=0.02,
            warm_up=epoch // 2,
            weight_decay=options.weight_decay,
            ema=options.ema,
            seed=seed,
        )
        folder = options.checkpoints and options.checkpoints / f"seed-{seed}"
        fit = Trainer(model, settings).fit(
            train,
            steps=round(options.epochs * epoch),
            eval_data=valid,
            evaluate_every=epoch,
            patience=options.patience,
            checkpoint_dir=folder,
            progress=_line_each_epoch(epoch),
        )
        looks = np.mean([log_prob(fit.model, test, look) for look in range(options.looks)], axis=0)
        bits = bits_per_dim(LogProb(looks, "bound"), (784,))
        found.append(bits.value)
        print(
            f"seed {seed}: {bits}; {count_parameters(model):,} parameters, best of {fit.steps / epoch:.0f} epochs: "
            f"{fit.best[0] / epoch:.0f} (validation {fit.best[1] / 784 / np.log(2):.4f}), {fit.seconds:.0f} s",
            flush=True,
        )
    spread = f" +- {np.std(found, ddof=1):.4f}" if len(found) > 1 else ""
    print(f"mean over seeds: {np.mean(found):.4f}{spread} bits per dimension (published 1.89)")
    return 0 if np.mean(found) <= options.target else 1


def log_prob(model: nnx.Module, x: np.ndarray, look: int) -> np.ndarray:
    """Nats of each image, its gaps filled with the noise of this look."""
    graph, state = nnx.split(model)

    @jax.jit
    def of(state: nnx.State, x: jax.Array, key: jax.Array) -> jax.Array:
        return nnx.merge(graph, state).log_prob(x, key=key).value

    keys = jax.random.split(jax.random.key(look), len(x) // 500)
    return np.concatenate(
        [np.asarray(of(state, part, key)) for part, key in zip(np.split(x, len(keys)), keys, strict=True)]
    )


def _line_each_epoch(epoch: int) -> ProgressCallback:
    last = [0]

    def say(event: ProgressEvent) -> None:
        if event.done // epoch > last[0] and event.info:  # the first event after resuming has no figures yet
            last[0] = event.done // epoch
            print(f"  epoch {last[0]}: {event.info}", flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
