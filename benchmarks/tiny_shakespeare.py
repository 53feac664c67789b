"""Tiny Shakespeare by characters: the transformer in nanoGPT's small setting for a CPU, trained by the house's trainer.

    python benchmarks/tiny_shakespeare.py --data-dir ../shared/data [--steps 2000 --seeds 0 1 2]

4 layers x 4 heads x 128, 64 characters of context, batches of 12, AdamW (1e-3 falling to 1e-4 as a cosine, 100 steps
of warm-up, weight decay 0.1, beta2 0.99, clipped at 1.0 a symbol), no dropout; the last tenth of the text is held out.
Positions are rotary (J. Su et al., 2021, https://arxiv.org/abs/2104.09864); with `--positions learned` as in nanoGPT.
Windows are of 65 characters: the last one has 64 before it. Printed are nats per held-out character

    given context    of the characters with 1 to 64 before them in their window: the figure that nanoGPT reports (1.88)
    all              of all characters, the first of each window too, which has nothing before it
"""

import argparse
import gzip
import time
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.autoregressive.model import compiled_logits
from modelwright.generative.protocol import count_parameters
from modelwright.generative.training import Trainer, TrainingSettings
from modelwright.generative.training.examples import Windows
from modelwright.modalities.text import TextCodec

LENGTH = 65


def configuration(vocabulary, positions):
    """The small setting."""
    return ModelConfiguration(
        name="tiny_shakespeare",
        model_class="modelwright.generative.autoregressive.Transformer",
        input_dim=(LENGTH,),
        hidden_dims=[128],
        parameters={"vocabulary": vocabulary, "n_layers": 4, "n_heads": 4, "positions": positions},
    )


def held_out(model, sequence):
    """Nats per character over the windows of a text that do not overlap: given context, and all."""
    windows = sequence[: len(sequence) // LENGTH * LENGTH].reshape(-1, LENGTH)
    size, nats = 256, []
    for first in range(0, len(windows), size):
        x = jnp.asarray(windows[first : first + size])
        full = jnp.pad(x, ((0, size - len(x)), (0, 0)))  # one compiled shape
        each = jax.nn.log_softmax(compiled_logits(model, full))
        nats.append(-np.take_along_axis(np.asarray(each)[: len(x)], np.asarray(x)[..., None], axis=-1)[..., 0])
    nats = np.concatenate(nats)
    return float(nats[:, 1:].mean()), float(nats.mean())


def main():
    """Train with each seed and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--positions", choices=("learned", "rotary"), default="rotary")
    asked = parser.parse_args()
    with gzip.open(asked.data_dir / "text" / "tiny_shakespeare.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read()
    codec = TextCodec.of(text)
    symbols = codec.prepare(text)
    train, valid = np.split(symbols, [int(0.9 * len(symbols))])
    print(f"{len(train)} characters to train on, {len(valid)} held out, {codec.vocabulary} different ones")
    figures = []
    for seed in asked.seeds:
        model = create_model(configuration(codec.vocabulary, asked.positions), rngs=seed)
        settings = TrainingSettings(
            batch_size=12,
            learning_rate=1e-3,
            schedule="cosine",
            final_rate=0.1,
            warm_up=min(100, asked.steps // 2),
            weight_decay=0.1,
            beta2=0.99,
            clip=1.0 * LENGTH,  # the loss is of a whole window
            seed=seed,
        )
        times = []
        fit = Trainer(model, settings).fit(
            Windows(train, LENGTH),
            steps=asked.steps,
            progress=lambda event, times=times: times.append((time.perf_counter(), event.done)),
        )
        given, whole = held_out(model, valid)
        figures.append(given)
        per_step = [(b - a) / (t - s) for (a, s), (b, t) in pairwise(times[1:])]
        print(
            f"seed {seed}: {count_parameters(model)} parameters, {fit.steps} steps in {fit.seconds:.0f} s, "
            f"{1e3 * np.median(per_step):.1f} ms a step; training loss {fit.history['nats_per_symbol'][-1]:.4f}; "
            f"held out {given:.4f} given context, {whole:.4f} all",
            flush=True,
        )
    if len(figures) > 1:
        print(f"held out, given context: {np.mean(figures):.4f} +- {np.std(figures, ddof=1):.4f} over seeds")
    prompt = codec.prepare("\n")[None]
    sampled = model.continue_from(jnp.asarray(prompt), LENGTH - 1, key=jax.random.key(0), temperature=0.8, top_k=200)
    print(codec.present(np.asarray(sampled))[0])


if __name__ == "__main__":
    main()
