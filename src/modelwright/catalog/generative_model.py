"""Generative models of the catalog: trained by the one trainer, kept as a description and a file of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from modelwright.catalog.catalog_model import AbstractCatalogModel, Scored
from modelwright.catalog.metadata import ModelMetadata
from modelwright.catalog.parameters import InferenceParameter
from modelwright.catalog.settings_forms import generative_settings_form
from modelwright.catalog.updating import inherited_data_options
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import TrainingOutcome
from modelwright.data.examples import Examples, Split, load_examples, load_whole
from modelwright.runs.record import RunRecord
from modelwright.runs.unfinished import FOLDER
from modelwright.zoo import Zoo

if TYPE_CHECKING:
    from modelwright.generative.log_prob import LogProb
    from modelwright.generative.protocol import AbstractGenerativeModel

DESCRIPTION, ARRAYS = "model", "model.safetensors"


@dataclass(frozen=True)
class GenerativeSettings:
    """How long and how to train; None leaves it as the zoo's entry says.

    Args:
        steps: Steps in all.
        epochs: Rounds through the examples, of whole batches only, in place of steps.
        batch_size: Examples of one update.
        learning_rate: Of Adam, at its highest.
        seed: Of initial weights, order of the data, and noise.
    """

    steps: int | None
    epochs: float | None
    batch_size: int | None
    learning_rate: float | None
    seed: int

    def overrides(self) -> dict[str, Any]:
        """The training defaults that these replace."""
        given = {name: getattr(self, name) for name in ("steps", "epochs", "batch_size", "learning_rate")}
        return {**{name: value for name, value in given.items() if value is not None}, "seed": self.seed}


@final
class GenerativeModel(AbstractCatalogModel[GenerativeSettings]):
    """An entry of the zoo as a model of the catalog.

    Args:
        model_id: Name of the entry.
        metadata: What the catalog says of it.
        project: The folder below which `models/{model_id}/` lies.
        zoo: Where the entry is.
    """

    def __init__(self, model_id: str, metadata: ModelMetadata, project: Path, zoo: Zoo | None = None) -> None:
        super().__init__(model_id, metadata, project)
        self.zoo = Zoo() if zoo is None else zoo

    def load_data(self, **options: Any) -> Split:
        """The examples in three parts.

        Raises:
            DataError: the model does not take them; this is found before it is built.
        """
        from modelwright.catalog.generative_data import check_examples

        data = load_examples(options["data"])
        check_examples(self.zoo, self.model_id, data)
        return data

    def describe_data(self, data: Split) -> dict[str, Any]:
        """Sizes, shape and a checksum."""
        return data.describe()

    def settings_parameters(self) -> tuple[InferenceParameter, ...]:
        """Steps or epochs, batch size, learning rate and seed."""
        return generative_settings_form()

    def make_settings(self, values: Mapping[str, Any]) -> GenerativeSettings:
        """The settings from checked values.

        Raises:
            ConfigurationError: steps and epochs at once.
        """
        if values["steps"] is not None and values["epochs"] is not None:
            raise ConfigurationError(
                "steps and epochs at once", field="epochs", got=values["epochs"], todo="give one of the two"
            )
        return GenerativeSettings(**values)

    def seeds_of(self, settings: GenerativeSettings) -> dict[str, int]:
        """The one seed."""
        return {"seed": settings.seed}

    def fit(
        self, data: Split, *, settings: GenerativeSettings, progress: ProgressCallback, **parameters: Any
    ) -> TrainingOutcome:
        """Train as the entry says, and judge what came of it; killed, the same command goes on where it was."""
        from modelwright.catalog.generative_training import train_entry

        overrides = {**parameters, **settings.overrides()}
        unfinished = self.get_output_paths()["output"] / FOLDER
        return train_entry(self.zoo, self.model_id, data, overrides, folder=unfinished, progress=progress)

    def model(self, run: RunRecord) -> "AbstractGenerativeModel":
        """The trained model of a run."""
        from modelwright.factory.stored_models import model_from_parts

        return model_from_parts(run.document(DESCRIPTION), run.own_file(ARRAYS))

    def sample(
        self, n: int, *, seed: int = 0, label: int | None = None, run: str | None = None, out: Path | None = None
    ) -> Any:
        """Examples drawn from a trained run, as people have them.

        Args:
            n: How many.
            seed: The same seed gives the same examples.
            label: What they are conditioned on, for models that are.
            run: As in `predict`.
            out: A file that they are to be written to; one that cannot hold them is refused before they are drawn.
        """
        from modelwright.catalog.generative_answers import drawn, shape_of_samples
        from modelwright.catalog.generative_files import check_samples_kind

        model = self.model(self.trained_run(run))
        if out is not None:
            check_samples_kind(out, n, shape_of_samples(model))
        return drawn(model, n, seed=seed, label=label)

    def ask(self, params: dict[str, Any], run: RunRecord) -> dict[str, Any]:
        """Log probabilities of examples: of the data named, in their order; else of those held out of the training."""
        rows, found, note = self._log_probabilities(params["data"], run, limit=params["limit"])
        values = [round(float(value), 4) for value in found.value]
        return {
            "title": f"Log probabilities of {found.of}, nats" if found.of else "Log probabilities, nats",
            "predictions": [{"example": k, "log_prob": value} for k, value in zip(rows, values, strict=True)],
            "credible_intervals": [{"kind": found.kind} for _ in values],
            "notes": [note],
        }

    def score_data(self, options: dict[str, Any], run: RunRecord, *, include_silent: bool) -> Scored:
        """How surprising each example is: minus its log probability, nats; the data are those of `ask`, all of them."""
        import numpy as np
        import pandas as pd

        if include_silent:
            raise ConfigurationError("no entities that could be silent", field="silent", todo="leave it out")
        rows, found, note = self._log_probabilities(options.get("data"), run, limit=None)
        frame = pd.DataFrame({"example": rows, "surprise": -np.asarray(found.value, float)})
        # one whose log probability is no number is the most surprising of all, not the least
        frame = frame.sort_values("surprise", ascending=False, ignore_index=True, kind="stable", na_position="first")
        of = f" of {found.of}" if found.of else ""
        meaning = f"surprise is minus the log probability{of} in nats ({found.kind})"
        return Scored(frame, ("example", "surprise"), (meaning, note))

    def _log_probabilities(
        self, source: str | None, run: RunRecord, *, limit: int | None
    ) -> "tuple[list[int], LogProb, str]":
        """Row numbers of examples, their log probabilities, and which examples they are, in words."""
        import numpy as np

        from modelwright.catalog.generative_answers import log_probabilities, lost_in_words, row_numbers

        trained_on = inherited_data_options(run).get("data")
        if source is None and trained_on is None:
            raise NotFoundError(
                "the run does not say which data it was trained on", field="data", todo="name the data to ask about"
            )
        part = _held_out(str(trained_on), run) if source is None else load_whole(source)
        model = self.model(run)
        found = log_probabilities(model, part, limit=limit)
        rows = row_numbers(model, part, len(found.value))
        what = "number of its first character" if isinstance(part.x, str) else "row"
        if source is None:
            which = f"those of {trained_on} that are reported on, held out of the training"
        elif source == trained_on:
            which = f"{source} from its beginning, those trained on among them"
        else:
            which = f"{source} from its beginning, in its order"
        note = f"{len(rows):,} examples: {which}; each is named by its {what} there, counted from 0"
        lost = int(np.isnan(np.asarray(found.value)).sum())
        return rows, found, f"{note}. {lost_in_words(lost, len(rows), model.remedy)}" if lost else note


def _held_out(source: str, run: RunRecord) -> Examples:
    """The part of a run's data that it was not trained on, which is known only while the data are what they were."""
    data = load_examples(source)
    found = data.describe()
    kept = {"crc32_rest": found["crc32_rest"], **run.manifest.data}  # runs of before it was kept do not have it
    changed = [name for name in found if kept.get(name) != found[name]]
    if changed:
        raise DataError(
            f"{source} has changed since the training, and what was held out of it is not known",
            field="data",
            expected=", ".join(f"{name} {kept.get(name)}" for name in changed),
            got=", ".join(f"{name} {found[name]}" for name in changed),
            todo="--data names the data to ask about explicitly",
        )
    return data.test
