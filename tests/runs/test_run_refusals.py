"""What the store refuses: late writes, names that lead elsewhere, things with no file format."""

import stat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelwright.core.errors import ClosedRunError, ConfigurationError, DataError, NotFoundError
from modelwright.core.sections import Picture, Section, TrainingOutcome, WrittenLater
from modelwright.core.verdict import Verdict
from modelwright.runs.manifest import Manifest, RunStatus
from modelwright.runs.store import RunStore

EMPTY: dict[str, Any] = {"configuration": {}, "data": {}, "seeds": {}}


def train(store: RunStore, model_id: str = "event_rates") -> str:
    with store.start(model_id, **EMPTY) as run:
        pass
    return run.id


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_closed_run_takes_nothing_more_and_its_files_are_read_only(store, outcome) -> None:
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
        with pytest.raises(ClosedRunError, match="the outcome of this run is written already"):
            run.write_outcome(outcome)
    writes = [
        lambda: run.write_outcome(outcome),
        lambda: run.write_trace(outcome.trace),
        lambda: run.write_table("t", outcome.tables["scores"]),
        lambda: run.write_document("d", {}),
        lambda: run.write_picture(outcome.diagrams[0]),
        lambda: run.close(RunStatus.FAILED),
    ]
    for write in writes:
        with pytest.raises(
            ClosedRunError, match=f"run: this run is closed and cannot change; got '{run.id}'; train again"
        ):
            write()
    record = store.get(run.id)
    stored = [record.paths.manifest, *(record.paths.at(relative) for relative in record.manifest.files)]
    assert len(stored) == 8
    assert [path for path in stored if path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)] == []
    assert record.verify() == []


@pytest.mark.parametrize("model_id", ["../other", "a/b", "", "A", "m\n", "x" * 64, "con"])
def test_a_model_id_that_could_leave_the_store_is_refused(store, model_id) -> None:
    with pytest.raises(ConfigurationError, match=r"^model: not a usable name"), store.start(model_id, **EMPTY):
        pass
    with pytest.raises(ConfigurationError, match=r"^model: not a usable name"):
        store.list(model_id)


@pytest.mark.parametrize("name", ["../scores", "a/b", "", ".hidden", "x" * 101, "a\x00"])
def test_a_file_name_that_could_leave_its_folder_is_refused(store, name) -> None:
    with store.start("m", **EMPTY) as run:
        with pytest.raises(ConfigurationError, match=r"^document: not a usable file name"):
            run.write_document(name, {})
        with pytest.raises(ConfigurationError, match=r"^picture: not a usable file name"):
            run.write_picture(Picture(name, "t", b"<svg/>", "svg", "alt"))
    with pytest.raises(ConfigurationError, match=r"^table: not a usable file name"):
        store.get(run.id).table(name)


def test_a_manifest_cannot_name_files_of_others(store) -> None:
    run_id = train(store)
    manifest = store.get(run_id).manifest
    for relative in ("../../../etc/passwd", "traces/20260314T092653Z-5f3a9c.nc", f"checkpoints/{run_id}/../x.json"):
        files = {relative: {"sha256": "0" * 64, "bytes": 1}}
        with pytest.raises(ValueError, match="not a file of this run"):
            Manifest.model_validate({**dict(manifest), "files": files})


def test_links_that_lead_out_of_the_project_are_neither_followed_nor_removed(store, tmp_path, outcome) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    run_id = train(store)
    fake = "20260314T092653Z-5f3a9c"
    (store.root / "models/event_rates/runs" / fake).symlink_to(outside)
    assert store.get(fake).status is RunStatus.DAMAGED
    assert "leaves its folder" in store.get(fake).problem
    store.remove(fake)
    assert [record.run_id for record in store.list()] == [run_id]
    (store.root / "models/event_rates/traces").symlink_to(outside)
    with pytest.raises(ConfigurationError, match="run: leaves its folder"), store.start("event_rates", **EMPTY) as run:
        run.write_outcome(outcome)
    assert files_below(outside) == ["precious"]


def test_what_cannot_be_stored_is_refused_by_name_and_keeps_what_was_written(store, outcome) -> None:
    opening = store.start("m", configuration={"a": object()}, data={}, seeds={})
    with (
        pytest.raises(ConfigurationError, match=r"^configuration: cannot be stored as JSON: no JSON for object"),
        opening,
    ):
        pass
    bad = TrainingOutcome(outcome.trace, outcome.verdict, documents={"odd": {"a": object()}})
    with (
        pytest.raises(DataError, match=r"^document odd: cannot be stored: no JSON for object"),
        store.start("m", **EMPTY) as run,
    ):
        run.write_outcome(bad)
    record = store.get(run.id)
    assert (record.status, record.has_trace, record.verify()) == (RunStatus.FAILED, True, [])
    with pytest.raises(NotFoundError, match=rf"^run {run.id} of m \(failed\) has no report"):
        record.report()
    mixed = pd.DataFrame({"a": [object(), object()]})
    with pytest.raises(DataError, match=r"^table odd: cannot be stored as Parquet"), store.start("m", **EMPTY) as run:
        run.write_table("odd", mixed)
    twins = (Picture("p", "t", b"<svg/>", "svg", "a"), Picture("p", "t", b"<svg></svg>", "svg", "a"))
    bad = TrainingOutcome(None, Verdict.of([]), sections=(Section("s", pictures=twins),))
    opening = store.start("m", **EMPTY)
    with pytest.raises(ConfigurationError, match="two different pictures have one name; got 'p'"), opening as run:
        run.write_outcome(bad)


def test_a_picture_that_cannot_be_drawn_does_not_cost_the_trace(store, outcome) -> None:
    events = []

    def draw_sections() -> tuple[Section, ...]:
        raise ValueError("nothing to draw")

    bad = TrainingOutcome(outcome.trace, outcome.verdict, sections=WrittenLater(draw_sections), tables=outcome.tables)
    opening = store.start("m", **EMPTY, progress=events.append)
    with pytest.raises(ValueError, match="nothing to draw"), opening as run:
        run.write_outcome(bad)
    record = store.get(run.id)
    assert (record.status, record.has_trace, record.verify()) == (RunStatus.FAILED, True, [])
    assert [event.done for event in events if event.stage == "write"] == [0, 1]


def test_a_missing_table_names_the_nearest(store, outcome) -> None:
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
    with pytest.raises(NotFoundError, match=r"has no table 'score'; did you mean 'scores'\? known: scores$"):
        store.get(run.id).table("score")
