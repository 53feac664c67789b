"""One training of a zoo entry from data to outcome; the framework is imported here, when something is trained."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from modelwright import __version__
from modelwright.catalog.generative_answers import HeldOut, drawn, held_out_nats
from modelwright.catalog.generative_data import conditions, looked_at, trained_on
from modelwright.catalog.generative_findings import (
    course_finding,
    figure_finding,
    figures_of,
    held_out_finding,
    latent_findings,
    no_figure_finding,
)
from modelwright.catalog.generative_pictures import loss_picture, samples_picture
from modelwright.core.errors import DataError
from modelwright.core.files import json_text
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.sections import Cell, Section, Table, TrainingOutcome
from modelwright.core.verdict import Verdict
from modelwright.data.examples import Split
from modelwright.factory.stored_models import parts_of
from modelwright.generative.protocol import AbstractGenerativeModel, count_parameters
from modelwright.generative.training import Fit, Trainer, TrainingDefaults
from modelwright.modalities import AdaptedModel, TextCodec
from modelwright.runs.unfinished import own_slot
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
    checkpoints, lock = own_slot(folder, hashlib.sha256(what.encode()).hexdigest()[:16])
    try:
        fit = Trainer(model).fit(
            trained_on(model, data.train),
            eval_data=looked_at(model, data.valid),
            patience=defaults.patience,
            checkpoint_dir=checkpoints,
            resume="if usable",
            progress=progress,
        )
        if fit.ended == "diverged":  # before anything else can fail: nobody is to go on from it
            shutil.rmtree(checkpoints, ignore_errors=True)
        progress(ProgressEvent("check", 0, 1, "figures"))
        reached = held_out_nats(model, data.test) if "log_prob" in model.offers else None
        outcome = _outcome(entry, data, model, fit, reached, overrides)
        progress(ProgressEvent("check", 1, 1, "figures"))
        shutil.rmtree(checkpoints, ignore_errors=True)
    finally:
        if checkpoints.exists():
            lock.release()
        else:
            lock.remove()
    return outcome


def _outcome(
    entry: ZooEntry,
    data: Split,
    model: AbstractGenerativeModel,
    fit: Fit,
    reached: HeldOut | None,
    overrides: dict[str, Any],
) -> TrainingOutcome:
    size = int(np.prod(model.example_shape))
    metrics: dict[str, Cell] = {}
    if reached is None:
        of_figure = no_figure_finding(f"{type(model).__name__} gives no log probabilities")
    elif reached.kind == "unnormalized":  # a number that may be anything is held against nothing
        of_figure = no_figure_finding(f"log probabilities of {type(model).__name__} are known up to a constant only")
        metrics |= {"kind": reached.kind}
    else:
        is_text = isinstance(model, AdaptedModel) and isinstance(model.codec, TextCodec)
        figures = figures_of(reached.nats, reached.error, size, is_text=is_text)
        of_figure = figure_finding(entry, data.name, figures, [key for key in overrides if key != "seed"])
        metrics |= {name: value for name, (value, _) in figures.items()}
        metrics |= {"nats_error": reached.error, "kind": reached.kind}
    metrics |= {"steps": fit.steps, "parameters": count_parameters(model), "seconds": round(fit.seconds, 2)}
    findings = (
        course_finding(fit, model.remedy),
        held_out_finding(fit, size, 0.0 if reached is None else reached.error),
        of_figure,
        *latent_findings(model, data.test),
    )
    description, arrays = parts_of(model)
    samples, odd = _samples(model, data)
    pictures = tuple(p for p in (loss_picture(fit), samples_picture(samples, data)) if p is not None)
    text = [] if reached is None else [reached.sentence]
    if isinstance(samples, list):
        text += ["A sample:", samples[0]]
    if odd:
        text.append(f"No samples are shown: {odd}.")
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


def _samples(model: AbstractGenerativeModel, data: Split) -> tuple[Any, str]:
    """Some for the report, in the contexts of the held-out examples where it takes them; None where there can be none.

    Contexts come with the data: a model that needs them draws none without. Samples that are no data at all do not lose
    what was trained: beside None stands what was said of them.
    """
    contexts = conditions(model, data.test) if model.condition.context_dim else None
    if "sample" not in model.offers or (model.condition.context_dim and contexts is None):
        return None, ""
    try:
        return drawn(model, SHOWN, seed=0, label=None, contexts=contexts), ""
    except DataError as error:
        return None, str(error)
