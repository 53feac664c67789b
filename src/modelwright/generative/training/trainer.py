"""The one trainer of all generative models."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_seed
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training.checkpoints import MANIFEST, identity, read_checkpoint, write_checkpoint
from modelwright.generative.training.defaults import TrainingDefaults
from modelwright.generative.training.evaluation import held_out_loss
from modelwright.generative.training.examples import AbstractExamples, as_examples, numbers_of_steps
from modelwright.generative.training.placement import placement_of
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.steps import Program, advance, begun

MOST_STEPS = 512
"""Steps between two looks at the host, at most."""

STRETCH = 1.0
"""Seconds that such a stretch takes, about: bars move and Ctrl-C is heard."""

MOST_LOST = 20
"""Updates in a row that may be left out before a training counts as diverged."""

BEGIN_WITH = 512
"""Examples that a model sees before the first step, to set what depends on the data."""


@dataclass(frozen=True)
class Fit:
    """What came of a training.

    Args:
        model: The model, trained in place: with the averaged parameters where an average was asked for, with the best
            ones where it was stopped early.
        steps: Steps made.
        ended: "complete", "early" (the held-out loss no longer fell) or "diverged" (updates were not finite).
        history: Name -> values of each reported step ("step", "loss", ...), means over the steps since the last.
        evaluations: Rows of step and held-out loss.
        seconds: Wall time of this call, compilation included.
        skipped: Updates left out because they were not finite.
    """

    model: AbstractGenerativeModel
    steps: int
    ended: Literal["complete", "early", "diverged"]
    history: dict[str, list[float]]
    evaluations: list[tuple[int, float]]
    seconds: float
    skipped: int

    @property
    def best(self) -> tuple[int, float] | None:
        """The step with the smallest held-out loss, and that loss."""
        return min(self.evaluations, key=lambda row: row[1], default=None)


@final
@dataclass(frozen=True)
class Trainer:
    """Trains any generative model.

    Args:
        model: The model.
        settings: How to train; by default as the configuration says from which the model was made.

    Example:
        >>> from modelwright.configuration import ModelConfiguration
        >>> from modelwright.factory import create_model
        >>> vae = ModelConfiguration(name="x", model_class="modelwright.generative.vae.VAE", input_dim=(4,),
        ...                          hidden_dims=[8], output_dim=1)
        >>> data = np.random.default_rng(0).integers(0, 2, (64, 4))
        >>> fit = Trainer(create_model(vae, rngs=0), TrainingSettings(batch_size=16)).fit(data, steps=20)
        >>> fit.steps, fit.ended
        (20, 'complete')
    """

    model: AbstractGenerativeModel
    settings: TrainingSettings | None = None

    def fit(
        self,
        data: Any,
        *,
        steps: int | None = None,
        batch_size: int | None = None,
        eval_data: Any = None,
        evaluate_every: int | None = None,
        patience: int | None = None,
        checkpoint_dir: Path | str | None = None,
        checkpoint_seconds: float = 60.0,
        resume: bool | Literal["auto"] = "auto",
        progress: ProgressCallback = ignore_progress,
    ) -> Fit:
        """Train the model in place.

        Args:
            data: Examples, shape (n, *example_shape); a pair (examples, conditions); or `Windows` of a sequence.
            steps: Steps in all, those of the checkpoint that is resumed included; by default as the model's
                configuration says (`steps` or `epochs` of its training defaults).
            batch_size: In place of the settings'.
            eval_data: Examples that are not trained on.
            evaluate_every: Steps between two looks at them; a twentieth of the steps by default.
            patience: Stop after so many looks without a smaller loss, and keep the best parameters.
            checkpoint_dir: Folder for checkpoints; a training that was killed goes on from it to the bit.
            checkpoint_seconds: Seconds between two checkpoints; there is one at the end always.
            resume: True needs a checkpoint, False begins anew, "auto" goes on where there is one.
            progress: Called with `ProgressEvent`s of the stage "train".

        Raises:
            ConfigurationError: an argument is not accepted, or the checkpoint is of another training.
            DataError: the data do not fit the model.
        """
        began = time.perf_counter()
        defaults = TrainingDefaults.of(self.model)
        settings = defaults.settings if self.settings is None else self.settings
        settings = settings if batch_size is None else replace(settings, batch_size=batch_size)
        examples = as_examples(data, self.model)
        if steps is None:
            steps = replace(defaults, settings=settings).steps_for(examples.size)
        steps = _whole(steps, "steps")
        held_out = None if eval_data is None else as_examples(eval_data, self.model, field="eval_data")
        if patience is not None and held_out is None:
            raise ConfigurationError(
                "stopping early needs data that are not trained on", field="patience", todo="pass eval_data"
            )
        every = _whole(evaluate_every, "evaluate_every") if evaluate_every is not None else max(steps // 20, 1)
        run = _Run(self.model, settings, examples, held_out, steps, every, patience, progress)
        folder = None if checkpoint_dir is None else Path(checkpoint_dir)
        run.begin(folder, resume)
        run.train(folder, checkpoint_seconds)
        return run.finish(time.perf_counter() - began)


class _Run:
    """One call of `fit`: the state between stretches of compiled steps."""

    def __init__(
        self,
        model: AbstractGenerativeModel,
        settings: TrainingSettings,
        examples: AbstractExamples,
        held_out: AbstractExamples | None,
        steps: int,
        every: int,
        patience: int | None,
        progress: ProgressCallback,
    ) -> None:
        self.model, self.settings, self.steps, self.every = model, settings, steps, every
        self.patience, self.progress = patience, progress
        self.batch_size = min(settings.batch_size, examples.size)
        placement = placement_of(self.batch_size)
        self.examples = placement.on_devices(examples)
        self.held_out = None if held_out is None else placement.on_devices(held_out)
        graph, _, _ = nnx.split(model, nnx.Param, ...)
        self.program = Program(graph, model.objectives(), settings, steps, placement.place)
        self.placement = placement
        self.key = jax.random.key(named_seed(settings.seed, "training"))
        self.history: dict[str, list[float]] = {}
        self.evaluations: list[tuple[int, float]] = []
        self.best: Any = None
        self.ended: Literal["complete", "early", "diverged"] = "complete"
        self.step = self.lost = 0
        names = [objective.name for objective in self.program.objectives]
        self.what = identity(model.recipe, settings, examples.fingerprint(), names, steps)

    def begin(self, folder: Path | None, resume: Any) -> None:
        if resume not in (True, False, "auto"):
            raise ConfigurationError("not accepted", field="resume", expected="True, False or 'auto'", got=resume)
        there = folder is not None and (folder / MANIFEST).is_file()
        if resume is True and not there:
            raise ConfigurationError(
                "there is no checkpoint to resume from", field="resume", got=str(folder), todo="pass resume='auto'"
            )
        if not there or resume is False:
            first = self.examples.take(jnp.arange(min(BEGIN_WITH, self.examples.size)))
            self.model.begin(first, key=jax.random.fold_in(self.key, 0))
        # as compiled steps see it: what `begin` has made is part of the structure
        graph, _, _ = nnx.split(self.model, nnx.Param, ...)
        self.program = replace(self.program, graph=graph)
        self.state = self.placement.on_devices(begun(self.program, self.model))
        if there and resume is not False:
            like = {"state": self.state, "best": self.state.params}
            self.step, found, kept = read_checkpoint(folder, self.what, like)  # type: ignore[arg-type]
            self.state = self.placement.on_devices(found["state"])
            self.ended = kept["ended"]
            if self.step > self.steps:
                raise ConfigurationError(
                    f"the checkpoint in {folder} has made {self.step} steps",
                    field="steps",
                    expected=f"at least {self.step}",
                    got=self.steps,
                    todo="pass resume=False to begin anew, or choose another folder",
                )
            self.history = {name: list(values) for name, values in kept["history"].items()}
            self.evaluations = [(int(step), float(loss)) for step, loss in kept["evaluations"]]
            self.best = self.placement.on_devices(found["best"]) if self.evaluations else None

    def train(self, folder: Path | None, checkpoint_seconds: float) -> None:
        stretch, written, compiled = 1, time.perf_counter(), False
        while self.step < self.steps and self.ended == "complete":
            next_look = self.every - self.step % self.every
            count = min(stretch, self.steps - self.step, next_look)
            began = time.perf_counter()
            skipped = self._advance(count)
            spent = time.perf_counter() - began
            if compiled:  # the first stretch is compilation
                stretch = int(np.clip(count * STRETCH / max(spent, 1e-6), 1, MOST_STEPS))
            compiled = True
            self._report(count, spent)
            self.lost = self.lost + skipped if skipped == count * self.program.updates_per_step else 0
            if self.lost > MOST_LOST:
                self.ended = "diverged"
            if self.step % self.every == 0 or self.step == self.steps:
                self._evaluate()
            if folder is not None and time.perf_counter() - written > checkpoint_seconds:
                self._keep(folder)
                written = time.perf_counter()
        if folder is not None:
            self._keep(folder)

    def _advance(self, count: int) -> int:
        """Make steps; how many of their updates were left out."""
        updates = self.program.updates_per_step
        numbers = np.zeros((MOST_STEPS, updates, self.batch_size), np.int32)
        found = numbers_of_steps(
            self.examples.size, self.batch_size, self.step * updates, count * updates, self.settings.seed
        )
        numbers[:count] = found.reshape(count, updates, self.batch_size)
        before = int(self.state.skipped)
        self.state, table = advance(
            self.program, self.state, self.examples, jnp.asarray(numbers), jnp.asarray(count), self.key
        )
        self.step += count
        self.latest = {name: np.asarray(values)[:count] for name, values in table.items()}
        return int(self.state.skipped) - before

    def _report(self, count: int, spent: float) -> None:
        means = {name: _mean(values) for name, values in self.latest.items()}
        self.history.setdefault("step", []).append(float(self.step))
        for name, value in means.items():
            self.history.setdefault(name, []).append(value)
        loss = next(value for name, value in means.items() if name.endswith("loss"))
        info: dict[str, float | int | str] = {"loss": round(loss, 4), "steps_per_second": round(count / spent, 1)}
        if self.evaluations:
            info["held-out"] = round(self.evaluations[-1][1], 4)
        self.progress(ProgressEvent("train", self.step, self.steps, "steps", info))

    def _evaluate(self) -> None:
        if self.held_out is None:
            return
        params = self._kept_params()
        value = held_out_loss(self.program.graph, params, self.state.rest, self.held_out, self.batch_size, self.key)
        if not self.evaluations or value < min(loss for _, loss in self.evaluations):
            self.best = jax.tree.map(jnp.copy, params)
        self.evaluations.append((self.step, value))
        if self.patience is not None:
            losses = [loss for _, loss in self.evaluations]
            if len(losses) - 1 - int(np.argmin(losses)) >= self.patience:
                self.ended = "early"

    def _kept_params(self) -> Any:
        return self.state.params if self.state.average is None else self.state.average

    def _keep(self, folder: Path) -> None:
        best = self._kept_params() if self.best is None else self.best
        kept = {"history": self.history, "evaluations": self.evaluations, "ended": self.ended}
        write_checkpoint(folder, self.what, self.step, {"state": self.state, "best": best}, kept)

    def finish(self, seconds: float) -> Fit:
        params = self.best if self.patience is not None and self.best is not None else self._kept_params()
        nnx.update(self.model, self.placement.whole(params), self.placement.whole(self.state.rest))
        return Fit(self.model, self.step, self.ended, self.history, self.evaluations, seconds, int(self.state.skipped))


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigurationError("not accepted", field=name, expected="a whole number of at least 1", got=value)
    return int(value)
