"""Taking new data into a trained run: what is inherited, what is refused before any work, what the new run says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelwright.catalog.base_model import BaseBayesianModel, NewData
from modelwright.catalog.metadata import ModelMetadata
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import TrainingOutcome
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

METADATA = ModelMetadata.from_mapping(
    {
        "name": "Rate",
        "description": "One Poisson rate with a conjugate prior",
        "version": 1.0,
        "data_params": [
            {"name": "total", "type": "integer", "required": True, "min_value": 0},
            {"name": "exposure", "type": "float", "default": 1.0},
            {"name": "day", "type": "string"},
        ],
        "train_params": [{"name": "shape", "type": "float", "min_value": 0.01}],
        "training": {"default_iterations": 100, "chains": 2, "warmup": 10},
    }
)


class Rate(BaseBayesianModel):
    """rate ~ Gamma(shape, 1), total ~ Poisson(rate * exposure): all that has to be remembered are two sums."""

    seen: dict[str, Any] = {}  # noqa: RUF012 (a window for the tests)

    def load_data(self, *, total: int, exposure: float, day: str = "", **_: Any) -> dict[str, Any]:
        return {"sums": np.array([total, exposure]), "day": np.array([day])}

    def fit(self, data: Any, *, settings: Any, progress: Any, shape: float = 0.5) -> TrainingOutcome:
        self.seen.update(settings=settings, shape=shape)
        if data["sums"][0] == 13:
            raise DataError("thirteen is unlucky", field="total")
        if data["sums"][0] == 14:
            raise KeyboardInterrupt
        progress(ProgressEvent("sample", 1, 1, "draws"))
        found = Finding("exact", "exact", None, Grade.GOOD, "always", "the closed form")
        total, exposure = data["sums"].tolist()
        mean = (shape + total) / (1 + exposure)
        return TrainingOutcome(None, Verdict.of([found]), {"mean": mean}, documents={"sums": [total, exposure]})

    def ask(self, params: dict[str, Any], run: Any) -> dict[str, Any]:
        return {"predictions": [], "credible_intervals": []}


class Counting(Rate):
    """The same, able to take in new data."""

    def fold_in(self, data: Any, run: Any, *, settings: Any, progress: Any, **parameters: Any) -> TrainingOutcome:
        both = {"sums": data["sums"] + np.array(run.document("sums"))}
        return self.fit(both, settings=settings, progress=progress, **parameters)


@pytest.fixture
def model(project: Path) -> Counting:
    model = Counting("rate", METADATA, project)
    options = model.check_data_options({"total": 4, "exposure": 2.0, "day": "mon"})
    model.train(model.load_data(**options), draws=50, seed=7, shape=2.0, data_options=options)
    return model


def test_an_update_is_a_training_on_everything(model, project) -> None:
    (parent,) = RunStore(project).list()
    result = model.update({"total": "6", "day": "tue"}, draws=80)
    assert result["status"] == "complete"
    assert result["metrics"]["mean"] == (2.0 + 4 + 6) / (1 + 2 + 2)
    assert (result["parent"], len(result["folded"]), result["notes"]) == (parent.run_id, 2, [])
    manifest = RunStore(project).get(result["run_id"]).manifest
    # What was not given is the parent's: the exposure, the prior, the seed; chains and warm-up of the description.
    assert manifest.data["options"] == {"total": 6, "exposure": 2.0, "day": "tue"}
    assert manifest.configuration["parameters"] == {"shape": 2.0}
    settings = manifest.configuration["settings"]
    assert (settings["draws"], settings["tune"], settings["chains"], settings["seed"]) == (80, 10, 2, 7)
    assert manifest.parent == parent.run_id
    assert manifest.folded == tuple(result["folded"])
    assert manifest.folded[0] == parent.manifest.data["fingerprint"]


def test_updates_go_on_from_the_newest_run_or_from_the_one_named(model, project) -> None:
    first = model.update({"total": 6, "day": "tue"})
    second = model.update({"total": 1, "day": "wed"}, shape=1.0)
    assert second["parent"] == first["run_id"]
    assert second["metrics"]["mean"] == (1.0 + 11) / (1 + 6)
    aside = model.update({"total": 1, "day": "wed"}, run=first["parent"])
    assert aside["parent"] == first["parent"]
    assert aside["metrics"]["mean"] == (2.0 + 5) / (1 + 4)
    kept = model.update({"total": 1, "day": "thu"}, keep=1)
    assert [record.run_id for record in RunStore(project).list()] == [kept["run_id"]]
    assert model.update({"total": 1, "day": "fri"})["metrics"]["mean"] == (2.0 + 7) / (1 + 8)


def test_the_same_data_are_refused_before_a_run_is_opened(model, project) -> None:
    model.update({"total": 6, "day": "tue"})
    for again in ({"total": 4, "day": "mon"}, {"total": 6, "day": "tue"}):
        with pytest.raises(DataError, match="holds these data already"):
            model.update(again)
    with pytest.raises(ConfigurationError, match=r"^data: which data are new"):
        model.update({})
    assert len(RunStore(project).list()) == 2


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        ({"totl": 1}, {}, "totl: unknown parameter; did you mean 'total'?"),
        ({"total": -1}, {}, "total: too small"),
        ({"total": 1}, {"draws": 0}, "draws: too small"),
        ({"total": 1}, {"shape": 0}, "shape: too small"),
        ({"total": 1}, {"keep": 0}, "keep: not usable"),
    ],
)
def test_a_wrong_option_is_refused_before_a_run_is_opened(model, project, data, options, sentence) -> None:
    with pytest.raises(ConfigurationError) as caught:
        model.update(data, **options)
    assert str(caught.value).startswith(sentence)
    assert len(RunStore(project).list()) == 1


def test_without_a_trained_run_there_is_nothing_to_update(project) -> None:
    with pytest.raises(NotFoundError, match="the model rate is not trained yet; train it with: modelwright train rate"):
        Counting("rate", METADATA, project).update({"total": 1})


def test_a_model_that_cannot_says_what_to_do_instead(model, project) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rate("rate", METADATA, project).update({"total": 1})
    assert str(caught.value) == (
        "model: the model rate cannot take new data into a trained run; "
        "train it on all data, old and new: modelwright train rate"
    )


@pytest.mark.parametrize(
    ("total", "error", "status"),
    [(13 - 4, DataError, RunStatus.FAILED), (14 - 4, KeyboardInterrupt, RunStatus.INTERRUPTED)],
)
def test_what_goes_wrong_marks_the_child_and_leaves_the_parent_to_answer(model, project, total, error, status) -> None:
    (parent,) = RunStore(project).list()
    with pytest.raises(error):
        model.update({"total": total, "day": "tue"})
    child, same = RunStore(project).list()
    assert (child.status, child.manifest.parent) == (status, parent.run_id)
    assert same.verify() == []
    assert model.trained_run().run_id == parent.run_id
    model.update({"total": 1, "day": "tue"})


def test_a_run_that_does_not_say_how_it_was_trained_is_not_continued(model, project) -> None:
    with RunStore(project).start("rate", configuration={}, data={"fingerprint": "ab"}, seeds={}) as run:
        pass
    with pytest.raises(ConfigurationError, match=f"run {run.id} does not say how it was trained"):
        model.update({"total": 1})


def test_a_model_may_load_new_data_in_its_own_way(model, project) -> None:
    class Hourly(Counting):
        def load_new_data(self, given: dict[str, Any], run: Any, *, progress: Any) -> NewData:
            loaded = super().load_new_data({"exposure": 1.0, **given}, run, progress=progress)
            return NewData(loaded.data, {**loaded.options, "hourly": True}, ("taken as hours",))

    result = Hourly("rate", METADATA, project).update({"total": 6, "day": "tue"})
    assert result["notes"] == ["taken as hours"]
    assert RunStore(project).get(result["run_id"]).manifest.data["options"]["hourly"] is True
    assert result["metrics"]["mean"] == (2.0 + 10) / (1 + 3)
