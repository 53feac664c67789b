"""The walk every model shares: forms, training into a run, answers out of it."""

from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.catalog.base_model import BaseBayesianModel, Scored
from modelwright.catalog.catalog_model import AbstractCatalogModel
from modelwright.catalog.metadata import ModelMetadata
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import Section, Table, TrainingOutcome
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
            {"name": "exposure", "type": "float", "default": 1.0, "min_value": 1e-6},
            {"name": "note", "type": "integer"},
        ],
        "train_params": [{"name": "shape", "type": "float", "min_value": 0.01}],
        "inference_params": [
            {"name": "exposure", "type": "float", "default": 1.0},
            {"name": "interval", "type": "float", "default": 0.9, "min_value": 0.01, "max_value": 0.999},
            {"name": "remark", "type": "string"},
        ],
        "training": {"default_iterations": 2000, "chains": 2, "warmup": 10},
    }
)


class Rate(BaseBayesianModel):
    """rate ~ Gamma(shape, 1), total ~ Poisson(rate * exposure): the posterior is Gamma(shape + total, 1 + exposure)."""

    seen: dict[str, Any] = {}  # noqa: RUF012 (a window for the tests)

    def load_data(self, *, total: int, exposure: float = 1.0, **_: Any) -> dict[str, Any]:
        return {"total": total, "exposure": exposure}

    def fit(self, data: Any, *, settings: NutsSettings, progress: Any, shape: float = 0.5, **more: Any) -> Any:
        self.seen.update(settings=settings, shape=shape, more=more)
        if data["total"] == 13:
            raise DataError("thirteen is unlucky", field="total")
        if data["total"] == 14:
            raise KeyboardInterrupt
        progress(ProgressEvent("sample", 1, 1, "draws"))
        rng = np.random.default_rng(settings.seed)
        draws = rng.gamma(shape + data["total"], 1 / (1 + data["exposure"]), (settings.chains, settings.draws))
        found = Finding("exact", "exact draws", None, Grade.GOOD, "always", "drawn from the closed form")
        table = Table("Rate", ("mean",), ((float(draws.mean()),),), headline=True)
        return TrainingOutcome(
            trace=az.InferenceData(posterior=draws_dataset({"rate": draws})),
            verdict=Verdict.of([found]),
            metrics={"rate_mean": float(draws.mean())},
            sections=(Section("Rate", tables=(table, Table("Other", ("a",), ((1,),)))),),
        )

    def ask(self, params: dict[str, Any], run: Any) -> dict[str, Any]:
        self.seen.update(params=params)
        if params["remark"] == "half":
            return {"predictions": []}
        expected = run.trace().posterior["rate"].values * params["exposure"]
        tail = (1 - params["interval"]) / 2
        lower, upper = np.quantile(expected, [tail, 1 - tail])
        return {"predictions": [float(expected.mean())], "credible_intervals": [[float(lower), float(upper)]]}


@pytest.fixture
def model(project: Path) -> Rate:
    return Rate("rate", METADATA, project)


@pytest.fixture
def trained(model: Rate) -> Rate:
    model.train(model.load_data(total=30, exposure=10.0))
    return model


# Training -------------------------------------------------------------------------------------------------------------


def test_training_returns_status_metrics_verdict_and_where_things_are(model, project):
    result = model.train(model.load_data(total=30, exposure=10.0), draws=500, seed=7)
    assert result["status"] == "complete"
    assert result["model_id"] == "rate"
    assert result["verdict"]["grade"] == "good"
    assert [table["title"] for table in result["headlines"]] == ["Rate"]
    for name in ("run", "trace", "report_html", "report_json", "output", "traces", "reports"):
        assert Path(result["paths"][name]).exists(), name
    record = RunStore(project).get(result["run_id"])
    assert record.metrics == result["metrics"]
    assert record.status is RunStatus.COMPLETE


def test_training_takes_defaults_of_the_description(model):
    model.train(model.load_data(total=3))
    settings = model.seen["settings"]
    assert (settings.draws, settings.tune, settings.chains, settings.target_accept, settings.seed) == (
        2000,
        10,
        2,
        0.9,
        42,
    )
    assert (model.seen["shape"], model.seen["more"]) == (0.5, {})  # absent parameters are left to fit's own defaults


def test_manifest_says_what_was_asked_and_on_which_data(model, project):
    options = model.check_data_options({"total": "30", "exposure": "10"})
    result = model.train(model.load_data(**options), draws="100", shape=2, data_options=options)
    manifest = RunStore(project).get(result["run_id"]).manifest
    assert manifest.configuration["model"] == {"id": "rate", "name": "Rate", "version": "1.0"}
    assert manifest.configuration["settings"]["draws"] == 100
    assert manifest.configuration["parameters"] == {"shape": 2.0}
    assert manifest.data["options"] == {"total": 30, "exposure": 10.0}
    assert manifest.data["fingerprint"]
    assert manifest.seeds == {"seed": 42}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drws": 10}, "drws: unknown parameter; did you mean 'draws'?"),
        ({"draws": 0}, "draws: too small; expected an integer from 1 to 10000000, got 0"),
        ({"chains": True}, "chains: not a number; expected an integer from 1 to 1024, got True"),
        ({"target_accept": 1.0}, "target_accept: too large; expected a number from 0.1 to 0.999, got 1.0"),
        ({"seed": -1}, "seed: too small; expected an integer from 0 to 4294967295, got -1"),
        ({"shape": "nan"}, "shape: not a number; expected a number of at least 0.01, got 'nan'"),
        ({"keep": 0}, "keep: not usable; expected an integer of at least 1, got 0"),
        ({"keep": True}, "keep: not usable; expected an integer of at least 1, got True"),
    ],
)
def test_wrong_option_is_refused_before_a_run_is_opened(model, project, options, sentence):
    with pytest.raises(ConfigurationError) as caught:
        model.train(model.load_data(total=3), **options)
    assert str(caught.value).startswith(sentence)
    assert RunStore(project).list() == []


@pytest.mark.parametrize(
    ("total", "error", "status"), [(13, DataError, RunStatus.FAILED), (14, KeyboardInterrupt, RunStatus.INTERRUPTED)]
)
def test_what_goes_wrong_is_raised_and_the_run_says_so(model, project, total, error, status):
    with pytest.raises(error):
        model.train(model.load_data(total=total))
    assert [record.status for record in RunStore(project).list("rate")] == [status]
    assert not model.has_trained_model()


def test_progress_reaches_the_caller(model):
    events: list[ProgressEvent] = []
    model.train(model.load_data(total=3), progress=events.append)
    assert "sample" in [event.stage for event in events]


def test_only_the_newest_runs_are_kept(model, project):
    ids = [model.train(model.load_data(total=3), draws=10, keep=2)["run_id"] for _ in range(3)]
    assert [record.run_id for record in RunStore(project).list("rate")] == [ids[2], ids[1]]


def test_steps_in_sight_leave_the_same_run(model, project):
    plan = model.plan_training(draws=50, shape=1.0)
    data = model.load_data(total=3)
    with model.open_run(data, plan) as run:
        outcome = model.fit(data, settings=plan.settings, progress=run.progress, **plan.parameters)
        run.write_outcome(outcome)
    by_steps = model.close_training(run.id, plan, outcome)
    at_once = model.train(data, draws=50, shape=1.0)
    assert by_steps["metrics"] == at_once["metrics"]
    stored = [RunStore(project).get(result["run_id"]).manifest for result in (by_steps, at_once)]
    assert stored[0].configuration == stored[1].configuration
    assert stored[0].data == stored[1].data


# Asking ---------------------------------------------------------------------------------------------------------------


def test_prediction_agrees_with_the_closed_form(trained):
    answer = trained.predict({"exposure": 2.0, "interval": 0.8})
    truth = stats.gamma(0.5 + 30, scale=2.0 / 11.0)
    n = 2 * 2000
    # Independent draws: Monte Carlo standard errors of a mean and of quantiles, times four.
    assert answer["predictions"][0] == pytest.approx(truth.mean(), abs=4 * truth.std() / n**0.5)
    for found, probability in zip(answer["credible_intervals"][0], (0.1, 0.9), strict=True):
        exact = truth.ppf(probability)
        error = (probability * (1 - probability) / n) ** 0.5 / truth.pdf(exact)
        assert found == pytest.approx(exact, abs=4 * error)
    assert answer["verdict"] == {"grade": "good", "sentence": "good: every check passed"}


def test_answers_come_from_the_run_asked(model):
    first = model.train(model.load_data(total=3), draws=50)["run_id"]
    second = model.train(model.load_data(total=300), draws=50)["run_id"]
    assert model.predict({})["run_id"] == second
    assert model.predict({}, run=first)["run_id"] == first
    assert model.predict({}, run=first)["predictions"] < model.predict({}, run=second)["predictions"]


def test_ask_sees_every_declared_parameter(trained):
    trained.predict({"interval": "0.5"})
    assert trained.seen["params"] == {"exposure": 1.0, "interval": 0.5, "remark": None}


def test_prediction_before_training_says_what_to_do(model):
    answer = model.predict({})
    assert answer["error"] == "the model rate is not trained yet; train it with: modelwright train rate"
    assert answer["detail"]["exit_code"] == 6
    with pytest.raises(NotFoundError):
        model.answer({})


def test_wrong_question_is_an_error_that_names_the_field(trained):
    answer = trained.predict({"intervall": 0.5})
    assert answer["error"].startswith("intervall: unknown parameter; did you mean 'interval'?")
    assert answer["detail"]["field"] == "intervall"
    assert trained.predict(None)["error"].startswith("not parameters; expected a mapping")
    assert "no run of rate is called 'nope'" in trained.predict({}, run="nope")["error"]


def test_unfinished_run_answers_nothing(model, project):
    with pytest.raises(DataError):
        model.train(model.load_data(total=13))
    failed = RunStore(project).list("rate")[0].run_id
    assert "is failed, so it answers nothing" in model.predict({}, run=failed)["error"]


def test_answer_without_its_intervals_is_refused(trained):
    assert "left out credible_intervals" in trained.predict({"remark": "half"})["error"]


def test_forms_say_what_would_be_taken(model):
    assert [field["name"] for field in model.get_inference_form_fields()] == ["exposure", "interval", "remark"]
    assert [field["name"] for field in model.get_data_form_fields()] == ["total", "exposure", "note"]
    names = ["shape", "draws", "tune", "chains", "target_accept", "max_tree_depth", "seed"]
    assert [field["name"] for field in model.get_training_form_fields()] == names
    assert model.validate_inference_params({"interval": 0.5}) == (True, None)
    valid, error = model.validate_inference_params({"interval": 1.5})
    assert (valid, error) == (False, "interval: too large; expected a number from 0.01 to 0.999, got 1.5")


def test_data_options_are_checked_and_absent_ones_left_out(model):
    assert model.check_data_options({"total": "3"}) == {"total": 3, "exposure": 1.0}
    with pytest.raises(ConfigurationError, match="total: is required; expected an integer of at least 0"):
        model.check_data_options({})


def test_scoring_is_for_models_that_can(trained, project):
    with pytest.raises(ConfigurationError, match="the model rate gives no scores"):
        trained.score({"total": 3})

    class Scoring(Rate):
        def score_data(self, options: dict[str, Any], run: Any, *, include_silent: bool) -> Scored:
            return Scored(options, ("total",), (str(include_silent),))

    scored = Scoring("rate", METADATA, project).score({"total": "3"}, include_silent=True)
    assert (scored.frame, scored.notes) == ({"total": 3}, ("True",))
    with pytest.raises(ConfigurationError, match="totl: unknown parameter; did you mean 'total'"):
        Scoring("rate", METADATA, project).score({"totl": "3"})


# Files ----------------------------------------------------------------------------------------------------------------


def test_output_folders(model, project):
    paths = model.get_output_paths()
    assert list(paths) == ["output", "traces", "reports", "diagrams", "checkpoints"]
    assert paths["traces"] == project / "models" / "rate" / "traces"
    assert not paths["output"].exists()
    assert all(path.is_dir() for path in model.ensure_output_dirs().values())


def test_latest_trace(model, project):
    assert model.get_latest_trace() is None
    assert not model.has_trained_model()
    run_id = model.train(model.load_data(total=3), draws=10)["run_id"]
    assert model.get_latest_trace() == project / "models" / "rate" / "traces" / f"{run_id}.nc"
    assert model.has_trained_model()


def test_bases_are_abstract(project):
    for base in (AbstractCatalogModel, BaseBayesianModel):
        with pytest.raises(TypeError, match="abstract"):
            base("rate", METADATA, project)  # type: ignore[abstract]
    with pytest.raises(ConfigurationError, match="not a usable name"):
        Rate("../rate", METADATA, project)
