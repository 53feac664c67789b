"""Verifying an entry of the zoo: training it anew, or where that is too much here, one step of it."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.catalog.generative_training import train_entry
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import Cell
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.data.examples import EXAMPLE_SETS, load_examples
from modelwright.generative.protocol import count_parameters
from modelwright.generative.training import Rows, Trainer, TrainingSettings
from modelwright.zoo import Zoo, zoo


@dataclass(frozen=True)
class Verified:
    """Figures of a verification, and what they come to."""

    metrics: dict[str, Cell]
    verdict: Verdict


def verified(
    name: str,
    *,
    data: str | None,
    seed: int,
    project: Path,
    progress: ProgressCallback,
    entries: Zoo = zoo,
) -> Verified:
    """Train an entry and hold its figure against the one stated.

    Args:
        name: Of the entry.
        data: A file with its data; a built-in set needs none.
        seed: Of the training.
        project: Where nothing is kept; checkpoints go to a temporary folder.
        progress: Called with `ProgressEvent`s.
        entries: Where the entry is.

    Raises:
        ConfigurationError: its data are not built in, and no file was named.
    """
    expected = entries.entry(name).expected
    if expected.construction_only is not None:
        return one_step(entries, name, seed, expected.construction_only)
    if data is None and expected.data not in EXAMPLE_SETS:
        raise ConfigurationError(
            f"{name} is trained on {expected.data}, which is not built in", field="data", todo="pass --data FILE"
        )
    began = time.perf_counter()
    split = load_examples(data or str(expected.data))
    with tempfile.TemporaryDirectory(prefix="modelwright-zoo-") as folder:
        outcome = train_entry(entries, name, split, {"seed": seed}, folder=Path(folder), progress=progress)
    minutes = (time.perf_counter() - began) / 60.0
    return Verified({**outcome.metrics, "minutes": round(minutes, 2)}, outcome.verdict)


def one_step(entries: Zoo, name: str, seed: int, reason: str) -> Verified:
    """Construction, shapes, and one step that moves the parameters to finite values."""
    model = entries.create_model(name, rngs=seed)
    generator = np.random.default_rng(seed)
    levels = model.levels or 2
    x = generator.integers(0, levels, (2, *model.example_shape))
    cond = jnp.zeros(2, jnp.int32) if model.condition.n_classes else None
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(_params(model))]
    settings = TrainingSettings(batch_size=2)
    fit = Trainer(model, settings).fit(Rows(jnp.asarray(x), cond), steps=1)
    after = [np.asarray(leaf) for leaf in jax.tree.leaves(_params(model))]
    moved = sum(bool((a != b).any()) for a, b in zip(before, after, strict=True))
    finite = all(np.isfinite(leaf).all() for leaf in after) and fit.skipped == 0
    threshold = "good when one step leaves every number finite and moves most arrays of parameters"
    grade = Grade.GOOD if finite and moved > len(before) // 2 else Grade.PROBLEM
    sentence = f"built, and one step of training moved {moved} of {len(before)} arrays; {reason}"
    finding = Finding("construction", "one step of training", moved, grade, threshold, sentence, "")
    return Verified({"parameters": count_parameters(model), "arrays moved": moved}, Verdict.of([finding]))


def _params(model: object) -> object:
    from flax import nnx

    return nnx.state(model, nnx.Param)
