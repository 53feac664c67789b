"""The one trainer of all generative models."""

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

from modelwright.core.errors import ConfigurationError, came
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.values import plain
from modelwright.generative.arguments import count
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training.checkpoints import MANIFEST, held
from modelwright.generative.training.course import Course, Fit
from modelwright.generative.training.defaults import TrainingDefaults
from modelwright.generative.training.examples import as_examples
from modelwright.generative.training.settings import TrainingSettings


@final
@dataclass(frozen=True)
class Trainer:
    """Trains any generative model.

    Args:
        model: The model.
        settings: How to train; by default as the configuration says from which the model was made.

    Raises:
        ConfigurationError: the model or the settings are something else.

    Example:
        >>> import numpy as np
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

    def __post_init__(self) -> None:
        if not isinstance(self.model, AbstractGenerativeModel):
            raise ConfigurationError(
                "not a generative model",
                field="model",
                expected="what create_model gives",
                got=type(self.model).__name__,
            )
        if self.settings is not None and not isinstance(self.settings, TrainingSettings):
            raise ConfigurationError(
                "not settings of a training",
                field="settings",
                expected="TrainingSettings, or None for those of the model's configuration",
                got=type(self.settings).__name__,
                todo="make them with TrainingSettings.from_mapping(...)",
            )

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
        resume: bool | Literal["auto", "if usable"] = "auto",
        progress: ProgressCallback = ignore_progress,
    ) -> Fit:
        """Train the model in place.

        A model that was trained or loaded goes on from its parameters; one that was not begins with some of the data.

        Args:
            data: Examples, shape (n, *example_shape); a pair (examples, conditions); or `Windows` of a sequence. A
                model with a codec takes raw data: images in their layout, a text, of which every window is an example.
                `Rows` and `Windows` hold what its `codec.prepare` has made.
            steps: Steps in all, those of the checkpoint that is resumed included; by default as the model's
                configuration says (`steps` or `epochs` of its training defaults).
            batch_size: In place of the settings'.
            eval_data: Examples that are not trained on; of a text, windows that follow each other.
            evaluate_every: Steps between two looks at them; a twentieth of the steps by default.
            patience: Stop after so many looks without a smaller loss, and keep the model as it was at the best; by
                default as the model's configuration says, when there are eval_data.
            checkpoint_dir: Folder for checkpoints, of one training at a time; one that was killed goes on from it to
                the bit.
            checkpoint_seconds: Seconds between two checkpoints, a sixth of it before the first; there is one at the end
                always, and one when the training is interrupted (Ctrl-C).
            resume: True needs a checkpoint, False leaves it, "auto" goes on where there is one; "if usable" leaves it,
                with a note, where it is damaged or of another training.
            progress: Called with `ProgressEvent`s of the stage "train".

        Raises:
            ConfigurationError: an argument is not accepted, the checkpoint is of another training, or another training
                writes into its folder.
            DataError: the data do not fit the model.
        """
        began = time.perf_counter()
        folder = _folder(checkpoint_dir, resume)
        checkpoint_seconds = _seconds(checkpoint_seconds)
        if not callable(progress):
            expected = "a function of a ProgressEvent"
            raise ConfigurationError("not accepted", field="progress", expected=expected, got=came(progress))
        defaults = TrainingDefaults.of(self.model)
        settings = defaults.settings if self.settings is None else self.settings
        settings = settings if batch_size is None else replace(settings, batch_size=batch_size)
        examples = as_examples(data, self.model)
        if steps is None:
            steps = replace(defaults, settings=settings).steps_for(examples.size)
        steps = count(self.model, steps, "steps")
        held_out = None
        if eval_data is not None:
            held_out = as_examples(eval_data, self.model, field="eval_data", overlapping=False)
        if patience is None and held_out is not None:
            patience = defaults.patience
        patience = None if patience is None else count(self.model, patience, "patience")
        if patience is not None and held_out is None:
            raise ConfigurationError(
                "stopping early needs data that are not trained on", field="patience", todo="pass eval_data"
            )
        every = None if evaluate_every is None else count(self.model, evaluate_every, "evaluate_every")
        course = Course(self.model, settings, examples, held_out, steps, every, patience, progress)
        with nullcontext() if folder is None else held(folder):
            course.begin(folder, resume)
            try:
                course.train(folder, checkpoint_seconds)
            except KeyboardInterrupt:  # between two stretches, from Ctrl-C that was noted or from the progress callback
                if folder is not None:
                    course.keep(folder)
                raise
            fit = course.finish(time.perf_counter() - began)  # before the disk may refuse the last checkpoint
            if folder is not None:
                course.keep(folder)
        return fit


def _folder(value: Any, resume: Any) -> Path | None:
    """The folder of the checkpoints, which is there where one is to be resumed from."""
    if value is not None and not isinstance(value, str | os.PathLike):
        raise ConfigurationError("not accepted", field="checkpoint_dir", expected="the path of a folder", got=value)
    folder = None if value is None else Path(value)
    if not (isinstance(resume, bool) or (isinstance(resume, str) and resume in ("auto", "if usable"))):
        expected = "True, False, 'auto' or 'if usable'"
        raise ConfigurationError("not accepted", field="resume", expected=expected, got=came(resume))
    if resume is True and (folder is None or not (folder / MANIFEST).is_file()):
        raise ConfigurationError(
            "there is no checkpoint to resume from", field="resume", got=str(folder), todo="pass resume='auto'"
        )
    return folder


def _seconds(value: Any) -> float:
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0.0:  # NaN is no number
        expected = "a number of at least 0"
        raise ConfigurationError("not accepted", field="checkpoint_seconds", expected=expected, got=came(value))
    return float(number)
