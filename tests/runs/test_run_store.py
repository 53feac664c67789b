"""The store: what a run leaves, and how it is found again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import TrainingOutcome
from modelwright.core.verdict import Grade, Verdict
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore, load_run

EMPTY: dict[str, Any] = {"configuration": {}, "data": {}, "seeds": {}}


def train(store: RunStore, model_id: str = "event_rates") -> str:
    with store.start(model_id, **EMPTY) as run:
        pass
    return run.id


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_complete_run_lies_where_the_layout_says_and_reads_back(store, settings, outcome) -> None:
    with store.start("event_rates", **settings) as run:
        assert store.get(run.id).status is RunStatus.RUNNING
        run.write_outcome(outcome)
    name = run.id
    assert files_below(store.root / "models" / "event_rates") == [
        f"checkpoints/{name}/entities.json",
        f"checkpoints/{name}/scores.parquet",
        f"diagrams/{name}/model_graph.svg",
        f"diagrams/{name}/rates.svg",
        f"reports/{name}.html",
        f"reports/{name}.json",
        "runs/.lock",
        f"runs/{name}/lock",
        f"runs/{name}/manifest.json",
        f"traces/{name}.nc",
    ]
    record = store.get("latest")
    assert (record.status, record.verify(), record.verdict) == (RunStatus.COMPLETE, [], outcome.verdict)
    assert record.metrics == {"elpd_loo": -12345.678, "entities": 3, "pr_auc": None}
    assert record.table("scores").equals(outcome.tables["scores"])
    assert record.document("entities") == ["ann", "bob", "zoë"]
    assert (record.tables, record.documents, record.has_trace) == (("scores",), ("entities",), True)
    for group in outcome.trace.groups():
        assert record.trace()[group].identical(outcome.trace[group]), group


def test_the_manifest_says_what_the_run_was(store, settings, outcome) -> None:
    with store.start("event_rates", **settings) as run:
        run.progress(ProgressEvent("sample", 1))
        run.write_outcome(outcome)
    manifest = store.get(run.id).manifest
    assert manifest.configuration == {"draws": 50}
    assert manifest.data == {"fingerprint": "ab" * 32, "shape": [3]}
    assert manifest.seeds == {"seed": 42}
    assert manifest.versions["numpy"] == np.__version__
    assert manifest.finished is not None
    # The duration's clock is another one than that of the times: a tenth of a second apart at most.
    assert manifest.duration_seconds == pytest.approx((manifest.finished - manifest.started).total_seconds(), abs=0.1)
    assert manifest.peak_memory_bytes > 10_000_000
    assert manifest.stages == {"sample": 0.0}
    assert manifest.error is None


def test_progress_reaches_the_listener(store) -> None:
    heard: list[ProgressEvent] = []
    with store.start("m", **EMPTY, progress=heard.append) as run:
        run.progress(ProgressEvent("read", 3, 10, "rows"))
    assert heard == [ProgressEvent("read", 3, 10, "rows")]


def test_an_exception_marks_the_run_failed_with_its_message_and_goes_on(store) -> None:
    def fail() -> None:
        with store.start("m", **EMPTY) as run:
            run.write_document("kept", {"before": "the failure"})
            raise DataError("a column is missing")

    with pytest.raises(DataError, match="a column is missing"):
        fail()
    (record,) = store.list()
    assert record.status is RunStatus.FAILED
    assert record.manifest.error.model_dump() == {"type": "DataError", "message": "a column is missing"}
    assert record.document("kept") == {"before": "the failure"}
    assert store.latest("m") is None
    assert store.latest("m", complete=False) == record


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_being_stopped_marks_the_run_interrupted_and_goes_on(store, stop) -> None:
    with pytest.raises(stop), store.start("m", **EMPTY) as run:
        raise stop
    assert store.get(run.id).status is RunStatus.INTERRUPTED


@examples(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ref=st.text() | st.from_regex(r"2[0-9TZ]{0,14}-?[0-9a-f]{0,6}", fullmatch=True) | st.just("../../etc/passwd"))
def test_a_reference_finds_its_run_or_is_not_found(tmp_path, ref) -> None:
    store = RunStore(tmp_path)
    ids = [record.run_id for record in store.list()] or [train(store), train(store)]
    fitting = [run_id for run_id in ids if ref and run_id.startswith(ref)]
    if len(fitting) == 1:
        assert store.get(ref).run_id == fitting[0]
    else:
        with pytest.raises(NotFoundError, match="run"):
            store.get(ref)


def test_runs_are_found_by_id_beginning_and_latest(store, tmp_path) -> None:
    first, second = train(store), train(store)
    other = train(store, "other")
    assert [record.run_id for record in store.list("event_rates")] == [second, first]
    assert [record.model_id for record in store.list()] == ["other", "event_rates", "event_rates"] or other < second
    assert store.models() == ["event_rates", "other"]
    assert store.get(first).run_id == first
    assert store.get("latest", "event_rates").run_id == second
    shared = first[: next(i for i in range(len(first)) if first[i] != second[i])]
    assert store.get(second[: len(shared) + 1], "event_rates").run_id == second
    with pytest.raises(
        NotFoundError, match=rf"^run: '{shared}' fits 2 runs: {second} \(event_rates\), .*; type more of it$"
    ):
        store.get(shared, "event_rates")
    with pytest.raises(
        NotFoundError, match=rf"^run: no run of event_rates is called '{first}0'; did you mean '{first}'"
    ):
        store.get(first + "0", "event_rates")


def test_an_empty_store_says_what_to_do(store) -> None:
    assert (store.list(), store.latest(), store.models()) == ([], None, [])
    with pytest.raises(NotFoundError, match=r"^run: no run is stored in this project; train a model first$"):
        store.get("latest")
    with pytest.raises(NotFoundError, match="train it first: modelwright train event_rates"):
        store.get("2026", "event_rates")


def test_latest_without_a_complete_run_points_at_the_newest(store) -> None:
    with pytest.raises(ValueError, match="x"), store.start("m", **EMPTY) as run:
        raise ValueError("x")
    with pytest.raises(
        NotFoundError, match=rf"none of the 1 stored runs is complete; the newest is {run.id} \(failed\)"
    ):
        store.get("latest")


def test_a_run_loads_by_id_by_folder_and_by_manifest(store, monkeypatch) -> None:
    run_id = train(store)
    folder = store.root / "models/event_rates/runs" / run_id
    monkeypatch.chdir(store.root)
    for ref in (run_id, "latest", f"models/event_rates/runs/{run_id}", folder, folder / "manifest.json"):
        assert load_run(ref).manifest.run_id == run_id
    assert load_run(run_id, root=store.root).verify() == []
    with pytest.raises(NotFoundError, match="there is no run at /nowhere/at/all"):
        load_run("/nowhere/at/all")
    with pytest.raises(ConfigurationError, match="expected a path like models/MODEL/runs/RUN"):
        load_run(store.root)


def test_remove_takes_every_file_and_refuses_a_live_run(store, outcome) -> None:
    kept = train(store, "m")
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
        with pytest.raises(
            ConfigurationError, match=f"run: the run is still running; got '{run.id}'; stop its process"
        ):
            store.remove(run.id)
    assert store.remove(run.id).run_id == run.id
    assert files_below(store.root / "models/m") == ["runs/.lock", f"runs/{kept}/lock", f"runs/{kept}/manifest.json"]


def test_keep_prunes_the_oldest_complete_runs_and_nothing_else(store) -> None:
    with pytest.raises(ValueError, match="x"), store.start("m", **EMPTY) as failed:
        raise ValueError("x")
    ids = [train(store, "m") for _ in range(4)]
    with store.start("m", **EMPTY) as live:
        removed = store.keep("m", 2)
    assert [record.run_id for record in removed] == ids[:2]
    assert [record.run_id for record in store.list("m")] == [live.id, ids[3], ids[2], failed.id]
    for wrong in (0, -1, True, 1.0, None):
        with pytest.raises(ConfigurationError, match="keep: not a number of runs; expected an integer of at least 1"):
            store.keep("m", wrong)


def test_attributes_netcdf_has_no_type_for_are_kept_as_text(store, outcome) -> None:
    outcome.trace.posterior.attrs.update(
        {"thinned": True, "nothing": None, "options": {"a": [1, 2]}, "flag": np.bool_(0)}
    )
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
    attributes = store.get(run.id).trace().posterior.attrs
    assert {name: attributes[name] for name in ("thinned", "nothing", "flag", "engine")} == {
        "thinned": 1,
        "nothing": "null",
        "flag": 0,
        "engine": "numpyro",
    }
    assert json.loads(attributes["options"]) == {"a": [1, 2]}


def test_an_outcome_without_a_trace_is_a_run_too(store) -> None:
    with store.start("m", **EMPTY) as run:
        run.write_outcome(TrainingOutcome(None, Verdict.of([])))
    record = store.get(run.id)
    assert record.verdict.grade is Grade.UNKNOWN
    with pytest.raises(NotFoundError, match=rf"^run {run.id} of m \(complete\) has no trace$"):
        record.trace()
