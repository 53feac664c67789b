"""One training of a zoo entry from data to outcome; the framework is imported here, when something is trained."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright import __version__
from modelwright.catalog.generative_data import looked_at, prepared, trained_on
from modelwright.catalog.generative_findings import (
    course_finding,
    figure_finding,
    figures_of,
    held_out_finding,
    latent_finding,
)
from modelwright.catalog.generative_pictures import loss_picture, samples_picture
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.files import json_text, make_folder
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.sections import Cell, Section, Table, TrainingOutcome
from modelwright.core.verdict import Finding, Verdict
from modelwright.data.examples import Examples, Split
from modelwright.factory.stored_models import parts_of
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, count_parameters, lacking
from modelwright.generative.training import Fit, Trainer, TrainingDefaults
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.report import latent_report
from modelwright.modalities import AdaptedModel, TextCodec
from modelwright.runs.locks import acquire
from modelwright.zoo import Zoo, ZooEntry

BLOCK = 256
"""Examples whose log probability is found together."""

LOOKED_AT = 4096
"""Examples that tell whether a latent is used."""

SHOWN = 64
"""Samples in the report."""


def train_entry(
    zoo: Zoo, name: str, data: Split, overrides: dict[str, Any], *, folder: Path, progress: ProgressCallback
) -> TrainingOutcome:
    """Train an entry of the zoo.

    Args:
        zoo: Where it is.
        name: Of the entry.
        data: Examples in three parts.
        overrides: As for `Zoo.configuration`.
        folder: For checkpoints of a training that was killed; what was written is removed at the end.
        progress: Called with `ProgressEvent`s.
    """
    entry = zoo.entry(name)
    progress(ProgressEvent("build", 0, 1, "model"))
    config = zoo.configuration(name, **overrides)
    model = zoo.create_model(name, rngs=overrides.get("seed", 0), **overrides)
    progress(ProgressEvent("build", 1, 1, "model"))
    defaults = TrainingDefaults.from_mapping(config.training_defaults)
    what = json_text({"model": model.recipe, "data": data.describe(), "version": __version__})
    checkpoints = folder / hashlib.sha256(what.encode()).hexdigest()[:16]
    lock = acquire(make_folder(folder) / f"{checkpoints.name}.lock")
    if lock is None:  # the same training runs in another process: each keeps its own checkpoints
        checkpoints = folder / f"{checkpoints.name}-{os.getpid()}"
    try:
        fit = Trainer(model).fit(
            trained_on(model, data.train),
            eval_data=looked_at(model, data.valid),
            patience=defaults.patience,
            checkpoint_dir=checkpoints,
            resume="if usable",
            progress=progress,
        )
    finally:
        if lock is not None:
            lock.release()
    progress(ProgressEvent("check", 0, 1, "figures"))
    reached = held_out_nats(model, data.test)
    outcome = _outcome(entry, data, model, fit, reached, overrides)
    progress(ProgressEvent("check", 1, 1, "figures"))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return outcome


def held_out_nats(model: AbstractGenerativeModel, part: Examples) -> tuple[float, float, str]:
    """Minus the mean log probability of a part in nats per example, its standard error, and what kind of number it is.

    A text is cut into windows that follow each other; what stands before a window is not known to the model.
    """
    found = log_probabilities(model, part, limit=None)
    values = -np.asarray(found.value, float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), found.kind


def log_probabilities(model: AbstractGenerativeModel, part: Examples, *, limit: int | None) -> LogProb:
    """Log probabilities of examples, nats, in blocks; of a text, of windows that follow each other.

    Raises:
        DataError: the examples do not go with the model, or there is none.
    """
    from flax import nnx

    x = prepared(model, part)
    labels = part.labels if model.condition.width and not isinstance(part.x, str) else None
    if isinstance(part.x, str):
        length = model.example_shape[0]
        x = x[: len(x) // length * length].reshape(-1, length)
    x = x[:limit]
    if len(x) == 0:
        raise DataError("shorter than one example", field="data", expected=f"{model.example_shape[0]} symbols or more")
    graph, state = nnx.split(model)

    @jax.jit
    def block(state: Any, x: Any, cond: Any, key: Any) -> LogProb:
        return nnx.merge(graph, state).log_prob(x, key=key, cond=cond)

    found = []
    for k, start in enumerate(range(0, len(x), BLOCK)):
        rows = slice(start, start + BLOCK)
        cond = None if labels is None else jnp.asarray(labels[rows])
        found.append(block(state, jnp.asarray(x[rows]), cond, jax.random.fold_in(jax.random.key(0), k)))
    return LogProb(jnp.concatenate([each.value for each in found]), found[0].kind)


def row_numbers(model: AbstractGenerativeModel, part: Examples, n: int) -> list[int]:
    """What the first n examples of a part are called: their rows in the set as it lies, counted from 0.

    A window of text is called by the character that it begins with, or in the middle of, where the symbols are bytes.
    """
    rows = np.arange(len(part)) if part.rows is None else np.asarray(part.rows)
    if not isinstance(part.x, str):
        return [int(row) for row in rows[:n]]
    if isinstance(model, AdaptedModel) and isinstance(model.codec, TextCodec) and not model.codec.alphabet:
        rows = np.repeat(rows, [len(character.encode("utf-8")) for character in part.x])
    step = model.example_shape[0]
    return [int(row) for row in rows[: n * step : step]]


def drawn(model: AbstractGenerativeModel, n: int, *, seed: int, label: int | None) -> Any:
    """Examples drawn from a model, as people have them: arrays, or texts."""
    if "sample" not in model.offers:
        raise lacking(model, "sample")
    condition, cond = model.condition, None
    if condition.n_classes:
        if label is None:
            cond = jnp.arange(n) % condition.n_classes
        elif 0 <= label < condition.n_classes:
            cond = jnp.full(n, label)
        else:
            raise ConfigurationError(
                "no such label", field="label", expected=f"0 to {condition.n_classes - 1}", got=label
            )
    elif label is not None:
        raise ConfigurationError("the model is not conditioned on labels", field="label", got=label)
    from flax import nnx

    graph, state = nnx.split(model)
    x = jax.jit(lambda state, key: nnx.merge(graph, state).sample(n, key=key, cond=cond))(state, jax.random.key(seed))
    return model.codec.present(np.asarray(x)) if isinstance(model, AdaptedModel) else np.asarray(x)


def shape_of_samples(model: AbstractGenerativeModel) -> tuple[int, ...] | None:
    """The shape of one example as people have it; None for a text."""
    nothing = np.zeros((1, *model.example_shape), np.int32)
    shown = model.codec.present(nothing) if isinstance(model, AdaptedModel) else nothing
    return None if isinstance(shown, list) else tuple(shown.shape[1:])


def latent_findings(model: AbstractGenerativeModel, part: Examples) -> tuple[Finding, ...]:
    """Of an autoencoder with a normal latent, whether it is used, on examples held out; of others nothing."""
    inner = model.inner if isinstance(model, AdaptedModel) else model
    if not isinstance(inner, AbstractAutoencoder):
        return ()
    x = jnp.asarray(prepared(model, part)[:LOOKED_AT])
    if isinstance(model, AdaptedModel):
        x, _ = model.codec.encode(x, jax.random.key(0))
    cond = jnp.asarray(part.labels[: len(x)]) if model.condition.width and part.labels is not None else None
    return (latent_finding(latent_report(inner, x, cond=cond)),)


def _outcome(
    entry: ZooEntry,
    data: Split,
    model: AbstractGenerativeModel,
    fit: Fit,
    reached: tuple[float, float, str],
    overrides: dict[str, Any],
) -> TrainingOutcome:
    nats, error, kind = reached
    size = int(np.prod(model.example_shape))
    figures = figures_of(
        nats, error, size, is_text=isinstance(model, AdaptedModel) and isinstance(model.codec, TextCodec)
    )
    metrics: dict[str, Cell] = {name: value for name, (value, _) in figures.items()}
    metrics |= {"nats_error": error, "kind": kind, "steps": fit.steps}
    metrics |= {"parameters": count_parameters(model), "seconds": round(fit.seconds, 2)}
    own = [key for key in overrides if key != "seed"]
    findings = (
        course_finding(fit),
        held_out_finding(fit, size, error),
        figure_finding(entry, data.name, figures, own),
        *latent_findings(model, data.test),
    )
    description, arrays = parts_of(model)
    samples = drawn(model, SHOWN, seed=0, label=None) if "sample" in model.offers else None
    pictures = tuple(p for p in (loss_picture(fit), samples_picture(samples, data)) if p is not None)
    words = {"exact": "exact", "bound": "a lower bound of the log probability"}[kind]
    text = [f"On {len(data.test):,} examples held out: {nats:.4g} +- {error:.2g} nats per example ({words})."]
    if isinstance(samples, list):
        text += ["A sample:", samples[0]]
    table = Table(
        "Held-out loss", ("step", "nats per example"), tuple((step, round(loss, 4)) for step, loss in fit.evaluations)
    )
    return TrainingOutcome(
        trace=None,
        verdict=Verdict.of(findings),
        metrics=metrics,
        sections=(Section("What it learned", tuple(text), (table,), pictures),),
        documents={"model": json.loads(description), "history": fit.history},
        files={"model.safetensors": arrays},
    )
