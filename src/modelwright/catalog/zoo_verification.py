"""Verifying an entry of the zoo: training it anew, or where that is too much here, one step of it."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from modelwright.catalog.generative_data import check_examples
from modelwright.catalog.generative_training import train_entry
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.sections import Cell
from modelwright.core.seeds import check_seed
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.data.examples import EXAMPLE_SETS, load_examples
from modelwright.generative.protocol import AbstractGenerativeModel, count_parameters
from modelwright.generative.training import Rows, Trainer, TrainingSettings
from modelwright.zoo import Zoo, zoo

EXAMPLES = 2
"""Examples of the one step, and of the answers."""

TRACED_BEYOND = 1024
"""Numbers of an example beyond which an autoregressive model is not made to draw."""


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
    progress: ProgressCallback,
    entries: Zoo = zoo,
) -> Verified:
    """Train an entry and hold its figure against the one stated; nothing of the training is kept.

    Args:
        name: Of the entry.
        data: A file with its data; a built-in set needs none.
        seed: Of the training.
        progress: Called with `ProgressEvent`s.
        entries: Where the entry is.

    Raises:
        ConfigurationError: its data are not built in, and no file was named; or one was, and it is only built.
    """
    expected = entries.entry(name).expected
    check_seed(seed)
    if expected.construction_only is not None:
        if data is not None:
            raise ConfigurationError(
                f"{name} is only built and makes one step on made-up examples ({expected.construction_only})",
                field="data",
                todo=f"leave it out, or train on it: modelwright train {name} --data {data}",
            )
        return one_step(entries, name, seed, expected.construction_only, progress)
    if data is None and expected.data not in EXAMPLE_SETS:
        raise ConfigurationError(
            f"{name} is trained on {expected.data}, which is not built in", field="data", todo="pass --data FILE"
        )
    began = time.perf_counter()
    split = load_examples(str(expected.data) if data is None else data)
    check_examples(entries, name, split)
    with tempfile.TemporaryDirectory(prefix="modelwright-zoo-") as folder:
        outcome = train_entry(entries, name, split, {"seed": seed}, folder=Path(folder), progress=progress)
    minutes = (time.perf_counter() - began) / 60.0
    return Verified({**outcome.metrics, "minutes": round(minutes, 2)}, outcome.verdict)


def one_step(entries: Zoo, name: str, seed: int, reason: str, progress: ProgressCallback) -> Verified:
    """Construction, one step that moves the parameters to finite values, and answers of the right shapes.

    Args:
        entries: Where the entry is.
        name: Of the entry.
        seed: Of weights, examples and noise.
        reason: Why it is not trained.
        progress: Called with `ProgressEvent`s.
    """
    progress(ProgressEvent("build", 0, 1, "model"))
    model = entries.create_model(name, rngs=seed)
    generator = np.random.default_rng(seed)
    shape = (EXAMPLES, *model.example_shape)
    x = jnp.asarray(
        generator.normal(size=shape) if model.levels is None else generator.integers(0, model.levels, shape)
    )
    cond = None
    if model.condition.n_classes:
        cond = jnp.arange(EXAMPLES) % model.condition.n_classes
    elif model.condition.context_dim:
        cond = jnp.asarray(generator.normal(size=(EXAMPLES, model.condition.context_dim)))
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(_params(model))]
    settings = TrainingSettings(batch_size=EXAMPLES)
    progress(ProgressEvent("build", 1, 1, "model"))
    progress(ProgressEvent("train", 0, 1, "steps"))
    fit = Trainer(model, settings).fit(Rows(x, cond), steps=1, progress=progress)
    after = [np.asarray(leaf) for leaf in jax.tree.leaves(_params(model))]
    moved = sum(bool((a != b).any()) for a, b in zip(before, after, strict=True))
    finite = all(np.isfinite(leaf).all() for leaf in after) and fit.skipped == 0
    threshold = "good when one step leaves every number finite and moves most arrays of parameters"
    grade = Grade.GOOD if finite and moved > len(before) // 2 else Grade.PROBLEM
    progress(ProgressEvent("check", 0, 1, "answers"))
    made = f"built, and one step of training on {EXAMPLES} made-up examples moved {moved} of {len(before)} arrays"
    construction = Finding("construction", "one step of training", moved, grade, threshold, f"{made}; {reason}", "")
    answers = answers_finding(model, x, cond)
    progress(ProgressEvent("check", 1, 1, "answers"))
    return Verified({"parameters": count_parameters(model), "arrays moved": moved}, Verdict.of([construction, answers]))


def answers_finding(model: AbstractGenerativeModel, x: Array, cond: Array | None) -> Finding:
    """Whether samples and log probabilities have the shapes that they should, and are finite.

    An autoregressive model draws one number after the other, in as many whole passes at worst: beyond
    `TRACED_BEYOND` numbers the shape of its samples is found by tracing alone.

    Args:
        model: Trained or not.
        x: Examples, shape (n, *example_shape).
        cond: What each is conditioned on.
    """
    graph, state = nnx.split(model)
    asked: dict[str, tuple[Callable[[Any, Array], Array], tuple[int, ...]]] = {}
    if "sample" in model.offers:
        asked["sample"] = (lambda model, key: model.sample(len(x), key=key, cond=cond), x.shape)
    if "log_prob" in model.offers:
        asked["log_prob"] = (lambda model, key: model.log_prob(x, key=key, cond=cond).value, x.shape[:1])
    numbers = int(np.prod(model.example_shape))
    said, wrong = [], 0
    for name, (ask, expected) in asked.items():

        def answer(state: Any, key: Array, ask: Callable[[Any, Array], Array] = ask) -> Array:
            return ask(nnx.merge(graph, state), key)

        traced = name == "sample" and model.family == "autoregressive" and numbers > TRACED_BEYOND
        found = (jax.eval_shape if traced else _compiled)(answer, state, jax.random.key(0))
        words = f"{name} of shape {found.shape}" + (f", traced only: {numbers:,} passes" if traced else "")
        if found.shape != expected:
            words += f" in place of {expected}"
        elif traced or bool(jnp.isfinite(found).all()):
            said.append(words)
            continue
        else:
            words += ", not finite"
        wrong += 1
        said.append(words)
    threshold = "good when samples and log probabilities have their shapes and are finite"
    grade = Grade.UNKNOWN if not asked else Grade.PROBLEM if wrong else Grade.GOOD
    sentence = "; ".join(said) or "it offers neither samples nor log probabilities"
    return Finding("answers", "answers of a wrong shape, or not finite", wrong, grade, threshold, sentence, "")


def _compiled(answer: Callable[[Any, Array], Array], state: Any, key: Array) -> Array:
    found: Array = jax.jit(answer)(state, key)
    return found


def _params(model: object) -> object:
    return nnx.state(model, nnx.Param)
