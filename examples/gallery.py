"""Samples of every generative family, made by the zoo: docs/gallery.md and its pictures.

    python examples/gallery.py [--names vae_digits flow_moons] [--steps 50] [--out docs]

Each entry is trained as it says (or with --steps), samples are drawn, and the page is written with its figures.
"""

import argparse
import tempfile
from pathlib import Path

from modelwright.catalog.generative_answers import HeldOut, drawn, held_out_nats
from modelwright.catalog.generative_data import looked_at, trained_on
from modelwright.catalog.generative_files import write_samples
from modelwright.core.files import write_text
from modelwright.data.examples import load_examples
from modelwright.generative.training import Trainer, TrainingDefaults
from modelwright.zoo import zoo

NAMES = (
    "vae_digits",
    "vqvae_digits",
    "flow_moons",
    "flow_checkerboard",
    "real_nvp_eight_gaussians",
    "maf_digits",
    "pixel_cnn_digits",
    "transformer_text",
)
SHOWN = {"text": 3, "points": 5000}
"""Samples shown, where it is not 64."""


def made(name: str, steps: int | None, folder: Path) -> list[str]:
    """Train an entry, write its samples, and return its part of the page."""
    entry = zoo.entry(name)
    overrides = {"seed": 42} | ({} if steps is None else {"steps": steps})
    model = zoo.create_model(name, rngs=42, **overrides)
    data = load_examples(str(entry.expected.data))
    patience = TrainingDefaults.of(model).patience
    fit = Trainer(model).fit(trained_on(model, data.train), eval_data=looked_at(model, data.valid), patience=patience)
    reached = held_out_nats(model, data.test)
    shown = SHOWN.get(data.kind, 64)
    samples = drawn(model, shown, seed=0, label=None)
    lines = [
        f"## {name}",
        "",
        f"{entry.description} `{entry.model_class.rpartition('.')[2]}`, {fit.steps:,} steps in {fit.seconds:.0f} s; "
        f"{reached.nats:.2f} ± {reached.error:.2f} nats per example held out ({_words(reached)}).",
        "",
    ]
    if data.kind == "text":
        return [*lines, *(f"    {line}" for sample in samples for line in (*sample.splitlines(), "")), ""]
    path = folder / "figures" / f"gallery_{name}.png"
    write_samples(path, samples)
    return [*lines, f"![{shown:,} samples of {name}](figures/{path.name})", ""]


def _words(reached: HeldOut) -> str:
    of = f" of {reached.of}" if reached.of else ""
    return ("exact" if reached.kind == "exact" else "a bound") + of


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if options.out is None else options.out
        parts = [made(name, options.steps, folder) for name in options.names]
        head = ["# Gallery", "", "Samples of every family, made by `python examples/gallery.py --out docs`.", ""]
        page = "\n".join([*head, *(line for part in parts for line in part)]).rstrip() + "\n"
        write_text(folder / "gallery.md", page)
    print(page)


if __name__ == "__main__":
    main()
