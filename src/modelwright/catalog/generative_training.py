"""One training of a zoo entry from data to outcome; the framework is imported here, when something is trained."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from modelwright import __version__
from modelwright.catalog.generative_answers import drawn, held_out_nats
from modelwright.catalog.generative_data import looked_at, trained_on
from modelwright.catalog.generative_findings import (
    course_finding,
    figure_finding,
    figures_of,
    held_out_finding,
    latent_findings,
)
from modelwright.catalog.generative_pictures import loss_picture, samples_picture
from modelwright.core.files import json_text, make_folder
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.sections import Cell, Section, Table, TrainingOutcome
from modelwright.core.verdict import Verdict
from modelwright.data.examples import Split
from modelwright.factory.stored_models import parts_of
from modelwright.generative.protocol import AbstractGenerativeModel, count_parameters
from modelwright.generative.training import Fit, Trainer, TrainingDefaults
from modelwright.modalities import AdaptedModel, TextCodec
from modelwright.runs.locks import acquire
from modelwright.zoo import Zoo, ZooEntry

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
    if fit.ended == "diverged":  # before anything else can fail: nobody is to go on from it
        shutil.rmtree(checkpoints, ignore_errors=True)
    progress(ProgressEvent("check", 0, 1, "figures"))
    reached = held_out_nats(model, data.test)
    outcome = _outcome(entry, data, model, fit, reached, overrides)
    progress(ProgressEvent("check", 1, 1, "figures"))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return outcome


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
