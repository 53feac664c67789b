"""Damaged runs are found, said to be damaged, and hide no other."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from modelwright.core.errors import StorageError
from modelwright.runs.lineage import Continuation
from modelwright.runs.manifest import RunStatus, manifest_schema, manifest_text
from modelwright.runs.store import RunStore

EMPTY: dict[str, Any] = {"configuration": {}, "data": {}, "seeds": {}}


def train(store: RunStore, model_id: str = "event_rates") -> str:
    with store.start(model_id, **EMPTY) as run:
        pass
    return run.id


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_stored_manifest_fits_its_published_schema(store, settings, outcome) -> None:
    with store.start("event_rates", **settings) as run:
        run.write_outcome(outcome)
    document = json.loads(run.paths.manifest.read_text())
    schema = manifest_schema()
    assert set(document) == set(schema["properties"]) - {"parent", "folded"}
    assert schema["additionalProperties"] is False
    with store.start("event_rates", **settings, continues=Continuation(run.id, ("aa", "bb"))) as child:
        child.write_outcome(outcome)
    assert set(json.loads(child.paths.manifest.read_text())) == set(schema["properties"])


def test_every_kind_of_damage_is_found_and_refused_on_reading(store, outcome) -> None:
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
    record = store.get(run.id)
    changed, cut, gone = record.paths.at(f"checkpoints/{run.id}/scores.parquet"), record.paths.trace, record.report_html
    for path in (changed, cut):
        path.chmod(0o644)
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    assert record.verify() == [f"checkpoints/{run.id}/scores.parquet", f"reports/{run.id}.html", f"traces/{run.id}.nc"]
    with pytest.raises(StorageError, match=r"scores.parquet is damaged: its content has changed; train again"):
        record.table("scores")
    with pytest.raises(StorageError, match=r"\.nc is damaged: it has \d+ bytes instead of \d+"):
        record.trace()
    assert record.document("entities") == ["ann", "bob", "zoë"]


def test_a_manifest_changed_by_hand_is_damaged_and_hides_no_other(store) -> None:
    first, second = train(store), train(store)
    path = store.get(first).paths.manifest
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"status": "complete"', '"status": "failed"'))
    newer, older = store.list("event_rates")
    assert (newer.run_id, newer.status, older.run_id, older.status) == (second, "complete", first, "damaged")
    assert "does not match its checksum" in older.problem
    with pytest.raises(StorageError, match=rf"run {first} of event_rates is damaged: .*modelwright runs rm {first}"):
        _ = older.manifest
    assert store.remove(first).status is RunStatus.DAMAGED
    assert [record.run_id for record in store.list()] == [second]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"[1]", "not a description"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (17 << 20), "too large"),
        (b'{"format": "modelwright-run", "format_version": 2}', "format_version: .*another version.*expected 1, got 2"),
        (b'{"run_id": "x"}', "model_id: Field required"),
    ],
    ids=["empty", "list", "twice", "bytes", "deep", "large", "future", "partial"],
)
def test_garbage_manifests_are_damaged_runs_with_a_reason(store, content, problem) -> None:
    run_id = train(store)
    path = store.get(run_id).paths.manifest
    path.chmod(0o644)
    path.write_bytes(content)
    (record,) = store.list()
    assert record.status is RunStatus.DAMAGED
    with pytest.raises(StorageError, match=problem):
        _ = record.manifest


@examples(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_manifest_bytes_ever_raise_from_a_listing(tmp_path, data) -> None:
    store = RunStore(tmp_path)
    records = store.list()
    path = tmp_path / "models/m/runs" / (records[0].run_id if records else train(store, "m")) / "manifest.json"
    valid = tmp_path / "valid.json"
    if not valid.exists():
        valid.write_bytes(path.read_bytes())
    json_values = st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=8,
    )
    document = json.loads(valid.read_bytes())
    key = data.draw(st.sampled_from(sorted(document)))
    kind = data.draw(st.sampled_from(["bytes", "cut", "key"]))
    if kind == "bytes":
        content = data.draw(st.binary())
    elif kind == "cut":
        content = valid.read_bytes()[: data.draw(st.integers(0, valid.stat().st_size - 2))]
    else:
        document[key] = data.draw(json_values.filter(lambda value: value != document[key]))
        document["checksum"] = "0" * 64
        content = json.dumps(document).encode()
    path.chmod(0o644)
    path.write_bytes(content)
    (record,) = store.list()
    assert record.status is RunStatus.DAMAGED
    assert record.problem


def test_a_run_folder_copied_under_another_id_is_damaged(store) -> None:
    run_id = train(store)
    folder = store.root / "models/event_rates/runs"
    (folder / run_id).rename(folder / "20260314T092653Z-5f3a9c")
    (record,) = store.list()
    assert record.problem == f"manifest.json: belongs to run {run_id} of event_rates"


def test_a_pipe_in_the_place_of_a_manifest_is_not_waited_for(store) -> None:
    run_id = train(store)
    path = store.get(run_id).paths.manifest
    path.unlink()
    os.mkfifo(path)
    assert store.get(run_id).problem == "manifest.json: not a file"


def test_reading_a_store_changes_nothing_in_it(store, outcome) -> None:
    with store.start("m", **EMPTY) as run:
        run.write_outcome(outcome)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    record = store.get("latest")
    record.verify(), record.trace(), record.table("scores"), record.report()
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_a_manifest_survives_its_own_text(store, settings, outcome) -> None:
    with store.start("event_rates", **settings) as run:
        run.write_outcome(outcome)
    assert manifest_text(store.get(run.id).manifest) == run.paths.manifest.read_text()
