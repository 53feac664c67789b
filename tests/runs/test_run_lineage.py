"""A run that continues another: what its manifest says, how far back the store knows, and that it stands on its own."""

import json
import signal

import pytest

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.runs.lineage import Continuation, continuation_of, data_of
from modelwright.runs.manifest import Manifest, RunStatus, manifest_text
from modelwright.runs.record import read_record
from modelwright.runs.report import rebuild_report
from modelwright.runs.store import RunStore

FIRST, SECOND, THIRD = "aa" * 32, "bb" * 32, "cc" * 32


def train(store, fingerprint=FIRST, *, outcome=None, **options):
    with store.start("m", configuration={}, data={"fingerprint": fingerprint}, seeds={}, **options) as run:
        if outcome is not None:
            run.write_outcome(outcome)
    return store.get(run.id)


def update(store, parent, fingerprint, **options):
    return train(store, fingerprint, continues=continuation_of(parent, fingerprint), **options)


def test_a_continued_run_names_its_parent_and_all_its_data(store) -> None:
    parent = train(store)
    child = update(store, parent, SECOND)
    grandchild = update(store, child, THIRD)
    assert (grandchild.manifest.parent, grandchild.manifest.folded) == (child.run_id, (FIRST, SECOND, THIRD))
    assert data_of(parent) == (FIRST,)
    found = [(run.run_id, run.status) for run in store.ancestors(grandchild)]
    assert found == [(child.run_id, "complete"), (parent.run_id, "complete")]
    assert store.ancestors(parent) == ()


def test_a_run_of_its_own_is_written_as_before_these_keys_existed(store) -> None:
    record = train(store)
    document = json.loads(record.paths.manifest.read_text())
    assert {"parent", "folded"}.isdisjoint(document)
    assert record.verify() == []
    child = update(store, record, SECOND)
    assert {"parent", "folded"} <= set(json.loads(child.paths.manifest.read_text()))
    assert Manifest.model_validate_json(child.manifest.model_dump_json()) == child.manifest


def test_a_child_stands_on_its_own_when_its_parents_are_gone(store, outcome) -> None:
    parent = train(store, outcome=outcome)
    child = update(store, parent, SECOND, outcome=outcome)
    grandchild = update(store, child, THIRD, outcome=outcome)
    store.remove(parent.run_id)
    assert [(run.run_id, run.status) for run in store.ancestors(grandchild)] == [
        (child.run_id, "complete"),
        (parent.run_id, "removed"),
    ]
    assert store.keep("m", 1)[0].run_id == child.run_id
    assert store.clean("m") == []
    (left,) = store.list("m")
    assert left.status is RunStatus.COMPLETE
    assert left.verify() == []
    assert left.trace().posterior.sizes["chain"] == 2
    assert [(run.run_id, run.status) for run in store.ancestors(left)] == [(child.run_id, "removed")]


def test_the_report_says_what_a_run_continues(store, outcome) -> None:
    parent = train(store, outcome=outcome)
    child = update(store, parent, SECOND, outcome=outcome)
    page = child.report_html.read_text()
    assert f"<dt>Continues</dt><dd><code>{parent.run_id}</code></dd>" in page
    assert "on the data of this run and of every run before it" in page
    assert child.report()["lineage"] == {"parent": parent.run_id, "folded": [FIRST, SECOND]}
    assert rebuild_report(child) == page
    assert "Continues" not in parent.report_html.read_text()
    assert "lineage" not in parent.report()


def test_the_same_data_are_refused_wherever_in_the_line_they_were(store) -> None:
    child = update(store, train(store), SECOND)
    for again in (FIRST, SECOND):
        with pytest.raises(DataError) as caught:
            continuation_of(child, again)
        assert str(caught.value) == (
            f"data: run {child.run_id} holds these data already; expected data that are new; to ask what it makes of "
            "them, use score; to continue another run, name it with --run"
        )


@pytest.mark.parametrize(("old", "new", "whose"), [(None, SECOND, "the data of run"), (FIRST, None, "the new data")])
def test_without_fingerprints_nothing_is_continued(store, old, new, whose) -> None:
    with pytest.raises(ConfigurationError, match=f"^data: {whose}.* have no fingerprint"):
        continuation_of(train(store, old), new)


def test_a_manifest_that_contradicts_itself_is_no_manifest(store) -> None:
    manifest = train(store).manifest
    for changes in ({"folded": (FIRST,)}, {"parent": manifest.run_id, "folded": (FIRST,)}, {"parent": "latest"}):
        with pytest.raises(ValueError, match=r"folded|parent"):
            Manifest.model_validate({**dict(manifest), **changes})
    other = "20260314T092653Z-5f3a9c"
    for folded in ((), (FIRST, FIRST), ("",)):
        with pytest.raises(ValueError, match="folded"):
            Manifest.model_validate({**dict(manifest), "parent": other, "folded": folded})


def test_ancestors_that_go_in_circles_come_to_an_end(store) -> None:
    first, second = (train(store, continues=Continuation("20260314T092653Z-5f3a9c", (FIRST,))) for _ in range(2))
    for record, parent in ((first, second), (second, first)):
        record.paths.manifest.chmod(0o644)
        record.paths.manifest.write_text(manifest_text(record.manifest.model_copy(update={"parent": parent.run_id})))
    assert [run.run_id for run in store.ancestors(read_record(first.paths))] == [second.run_id]


def test_a_damaged_ancestor_is_said_to_be(store) -> None:
    parent = train(store)
    child = update(store, parent, SECOND)
    parent.paths.manifest.chmod(0o644)
    parent.paths.manifest.write_text("{")
    assert [(run.run_id, run.status) for run in store.ancestors(child)] == [(parent.run_id, "damaged")]


@pytest.mark.parametrize("number", [3, 12, 30, 47])
def test_a_kill_in_an_update_leaves_the_parent_whole_and_the_child_interrupted(tmp_path, nursery, number) -> None:
    project = tmp_path / "project"
    status, said = nursery.call("train", project)
    assert status == 0, said
    store = RunStore(project)
    parent = store.get("latest")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and parent.run_id in str(path)}
    status, said = nursery.call("update", project, die_before_change=number)
    assert status == -signal.SIGKILL, said
    assert store.get(parent.run_id).verify() == []
    assert {path: path.read_bytes() for path in before} == before
    others = [record for record in store.list() if record.run_id != parent.run_id]
    assert [record.status for record in others] in ([], [RunStatus.INTERRUPTED])
    assert store.latest("sample").run_id == parent.run_id
    assert all(record.manifest.parent == parent.run_id for record in others)
    assert nursery.call("update", project)[0] == 0
    assert store.get("latest").manifest.parent == parent.run_id
