"""The course of one training: stretches of compiled steps; what is looked at, told and written down between them."""

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.core.noted_interrupts import NotedInterrupt, note_interrupts
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.seeds import named_seed
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training.checkpoints import MANIFEST, read_checkpoint, write_checkpoint
from modelwright.generative.training.evaluation import held_out_loss
from modelwright.generative.training.examples import AbstractExamples, most_steps, numbers_of_steps
from modelwright.generative.training.placement import placement_of
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.steps import MOST_LOST, Program, advance, begun

STRETCH = 1.0
"""Seconds that such a stretch takes, about: bars move and Ctrl-C is heard."""

LOOK_AT = 256
"""Held-out examples looked at together, at least: no gradient is kept for them."""

BEGIN_WITH = 512
"""Examples that a model sees before the first step, to set what depends on the data."""


@dataclass(frozen=True)
class Fit:
    """What came of a training.

    Args:
        model: The model, trained in place: with the averaged parameters where an average was asked for, and as it was
            at its best look where there is patience.
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
class Course:
    """One training: the state between stretches of compiled steps.

    Args:
        model: The model.
        settings: How to train.
        examples: What it is trained on.
        held_out: What it is not trained on; None where it is not looked at.
        steps: Steps in all.
        every: Steps between two looks at what is held out; a twentieth of the steps where None.
        patience: Looks without a smaller loss before it ends; None for any number.
        progress: Told how far it is.
    """

    def __init__(
        self,
        model: AbstractGenerativeModel,
        settings: TrainingSettings,
        examples: AbstractExamples,
        held_out: AbstractExamples | None,
        steps: int,
        every: int | None,
        patience: int | None,
        progress: ProgressCallback,
    ) -> None:
        self.model, self.settings, self.steps = model, settings, steps
        self.every = max(steps // 20, 1) if every is None else every
        self.patience, self.progress = patience, progress
        self.batch_size = min(settings.batch_size, examples.size)
        placement = placement_of(self.batch_size)
        self.examples = placement.on_devices(examples)
        self.held_out = None if held_out is None else placement.on_devices(held_out)
        graph, _, _ = nnx.split(model, nnx.Param, ...)
        self.program = Program(graph, model.objectives(), settings, steps, placement.place)
        self.placement = placement
        self.most_steps = most_steps(self.program.updates_per_step * self.batch_size)
        self.key = jax.random.key(named_seed(settings.seed, "training"))
        self.history: dict[str, list[float]] = {}
        self.evaluations: list[tuple[int, float]] = []
        self.best: Any = None
        self.ended: Literal["complete", "early", "diverged"] = "complete"
        self.step = 0
        self.is_whole = True
        looks = None if held_out is None else {"held_out": held_out.fingerprint(), "evaluate_every": every}
        self.what = {
            "settings": asdict(settings),
            "data": examples.fingerprint(),
            "looks": looks,
            "objectives": [objective.name for objective in self.program.objectives],
            "recipe": model.recipe,
            # Not how many devices there are: arrays are written whole, and order and keys follow from seed and step, so
            # that a training may go on with others. It is then the same but for the order in which sums are taken; the
            # same bits are promised for the same devices only, and a note says so (`_go_on_from`).
            # a constant rate does not know how long it is to be: such a training may be made longer
            "steps": steps if settings.schedule != "constant" else None,
        }

    def begin(self, folder: Path | None, resume: Any) -> None:
        """Go on from a checkpoint, or let the model begin with some of the data; arguments as for `Trainer.fit`."""
        there = folder is not None and (folder / MANIFEST).is_file()
        goes_on = there and resume is not False
        if goes_on:
            self._make_ready()
            try:
                self._go_on_from(folder)  # type: ignore[arg-type]
            except (ConfigurationError, StorageError) as error:
                if resume != "if usable":
                    raise
                note = f"beginning anew, the training that was stopped cannot be gone on with: {error}"
                self.progress(ProgressEvent("train", 0, self.steps, "steps", note=note))
                goes_on = False
        if not goes_on:
            size = self.examples.size
            some = numbers_of_steps(size, min(BEGIN_WITH, size), 0, 1, self.settings.seed)[0]
            batch = self.examples.take(jnp.asarray(some))
            self.model.check(batch)
            if not self.model.begun:  # or what was trained before would be overwritten by a start from the data
                self.model.begin(batch, key=jax.random.fold_in(self.key, 0))
        self.model.begun = True
        if not goes_on:
            self._make_ready()

    def _make_ready(self) -> None:
        """The state of the model as it is, and its structure as compiled steps see it."""
        graph, _, _ = nnx.split(self.model, nnx.Param, ...)
        self.program = replace(self.program, graph=graph)
        self.state = self.placement.on_devices(begun(self.program, self.model))

    def _go_on_from(self, folder: Path) -> None:
        like = {"state": self.state, "best": (self.state.params, self.state.rest)}
        step, found, kept = read_checkpoint(folder, self.what, like)
        if step > self.steps:
            raise ConfigurationError(
                f"the checkpoint in {folder} has made {step} steps",
                field="steps",
                expected=f"at least {step}",
                got=self.steps,
                todo="pass resume=False to begin anew, or choose another folder",
            )
        self.step = step
        self.state = self.placement.on_devices(found["state"])
        self.every = int(kept["every"])
        devices = kept.get("devices", self.placement.n_devices)
        if devices != self.placement.n_devices:
            note = (
                f"going on with {self.placement.n_devices} in place of {devices} devices: sums over a batch are taken "
                "in another order, so that the last digits differ from a training that was not stopped"
            )
            self.progress(ProgressEvent("train", step, self.steps, "steps", note=note))
        # JSON knows no numbers that are not finite
        self.history = {
            name: [math.nan if value is None else value for value in values] for name, values in kept["history"].items()
        }
        looks = [(int(step), math.inf if loss is None else float(loss)) for step, loss in kept["evaluations"]]
        longer = self.steps > self.step  # then it has no look at the step where the shorter one ended
        self.evaluations = [row for row in looks if row[0] % self.every == 0 or not longer]
        of_grid = any(row[0] % self.every == 0 for row in looks)
        self.best = self.placement.on_devices(found["best"]) if of_grid else None
        self.ended = "diverged" if self._is_lost() else "early" if self._is_over() else "complete"

    def train(self, folder: Path | None, checkpoint_seconds: float) -> None:
        """Make the steps that are left, with checkpoints on the way where there is a folder for them."""
        if self.placement.note:
            self.progress(ProgressEvent("train", self.step, self.steps, "steps", note=self.placement.note))
        if self.steps <= self.settings.warm_up:
            note = (
                f"the learning rate is still rising at the end: a warm_up of {self.settings.warm_up:,} steps in a "
                f"training of {self.steps:,}"
            )
            self.progress(ProgressEvent("train", self.step, self.steps, "steps", note=note))
        due = time.perf_counter() + checkpoint_seconds / 6.0
        if self.step:
            note = f"going on from step {self.step:,} of a training that was stopped"
            self.progress(ProgressEvent("train", self.step, self.steps, "steps", note=note))
        self._look_again()
        with note_interrupts() as noted:
            self._stretches(folder, due, checkpoint_seconds, noted)

    def _look_again(self) -> None:
        """Make the look that is due at a checkpoint's step, where the training was broken off before it was made."""
        due = self.step > 0 and (self.step % self.every == 0 or self.step == self.steps)
        if due and all(step != self.step for step, _ in self.evaluations):
            self._evaluate()

    def _stretches(self, folder: Path | None, due: float, checkpoint_seconds: float, noted: NotedInterrupt) -> None:
        stretch, compiled = 1, False
        while self.step < self.steps and self.ended == "complete":
            next_look = self.every - self.step % self.every
            count = min(stretch, self.steps - self.step, next_look)
            began = time.perf_counter()
            self._advance(count)
            spent = time.perf_counter() - began
            if compiled:  # the first stretch is compilation
                stretch = int(np.clip(count * STRETCH / max(spent, 1e-6), 1, self.most_steps))
            compiled = True
            self._report(count, spent)
            if self._is_lost():
                self.ended = "diverged"
            if self.step % self.every == 0 or self.step == self.steps:
                self._evaluate()
            if folder is not None and time.perf_counter() > due:
                self.keep(folder)
                due = time.perf_counter() + checkpoint_seconds
            if noted.pressed:
                raise KeyboardInterrupt

    def _advance(self, count: int) -> None:
        """Make steps; fewer when the training diverges."""
        self.is_whole = False
        updates = self.program.updates_per_step
        numbers = np.zeros((self.most_steps, updates, self.batch_size), np.int32)
        found = numbers_of_steps(
            self.examples.size, self.batch_size, self.step * updates, count * updates, self.settings.seed
        )
        numbers[:count] = found.reshape(count, updates, self.batch_size)
        self.state, table = advance(
            self.program, self.state, self.examples, jnp.asarray(numbers), jnp.asarray(count), self.key
        )
        before, self.step = self.step, int(self.state.step)
        self.latest = {name: np.asarray(values)[: self.step - before] for name, values in table.items()}
        self.is_whole = True

    def _is_lost(self) -> bool:
        return bool((np.asarray(self.state.lost) > MOST_LOST).any())

    def _is_over(self) -> bool:
        """Whether the held-out loss has not fallen for as many looks as there is patience."""
        losses = [loss for _, loss in self.evaluations]
        return self.patience is not None and bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.patience

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
        params, rest = self._kept()
        size = max(self.batch_size, LOOK_AT)
        value = held_out_loss(self.program.graph, params, rest, self.held_out, size, self.key)
        better = not self.evaluations or value < min(loss for _, loss in self.evaluations)
        if better and self.step % self.every == 0:  # the last look may lie elsewhere: its model is the one at the end
            self.best = jax.tree.map(jnp.copy, (params, rest))
        self.evaluations.append((self.step, value))  # last: broken off before, the look is made again
        if self._is_over():
            self.ended = "early"

    def _kept(self) -> tuple[Any, Any]:
        """Parameters, averaged where an average was asked for, and the other variables."""
        return (self.state.params if self.state.average is None else self.state.average), self.state.rest

    def keep(self, folder: Path) -> None:
        """Write a checkpoint; of steps that were broken off in the middle there is none."""
        if not self.is_whole:
            return
        best = self._kept() if self.best is None else self.best
        kept = {"history": self.history, "evaluations": self.evaluations, "every": self.every}
        kept["devices"] = self.placement.n_devices
        write_checkpoint(folder, self.what, self.step, {"state": self.state, "best": best}, kept)

    def finish(self, seconds: float) -> Fit:
        """Put what was trained into the model.

        Args:
            seconds: Wall time of the training.
        """
        fit = Fit(self.model, self.step, self.ended, self.history, self.evaluations, seconds, int(self.state.skipped))
        at_best = self.patience is not None and fit.best is not None and fit.best[0] < self.step
        params, rest = self.best if at_best else self._kept()
        nnx.update(self.model, self.placement.whole(params), self.placement.whole(rest))
        return fit


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
