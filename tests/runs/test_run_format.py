"""The format page is true: its examples run, in the order they stand in, and its tables name what there is."""

import re
from pathlib import Path

import pytest

from modelwright.runs.manifest import FORMAT_VERSION, Manifest
from modelwright.runs.store import RunStore

PAGE = Path(__file__).resolve().parents[2] / "docs" / "run-format.md"


@pytest.fixture
def stored(project, outcome) -> str:
    with RunStore(project).start("event_rates", configuration={}, data={}, seeds={}) as run:
        run.write_outcome(outcome)
    return run.id


def test_every_example_of_the_page_runs(stored, capsys) -> None:
    names: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "warning {'elpd_loo': -12345.678, 'entities': 3, 'pr_auc': None}" in said
    assert "complete warning: chains differ" in said
    assert "zoë" in said


def test_the_checksum_example_would_notice_a_change(stored, project) -> None:
    path = project / "models/event_rates/runs" / stored / "manifest.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("-12345.678", "-12345.679"))
    names: dict[str, object] = {}
    first, second, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(first, str(PAGE), "exec"), names)
    with pytest.raises(AssertionError):
        exec(compile(second, str(PAGE), "exec"), names)


def test_the_table_of_keys_is_the_manifest() -> None:
    text = PAGE.read_text(encoding="utf-8").split("## The manifest")[1].split("## Status")[0]
    described = {
        key for row in re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE) for key in re.findall(r"`(\w+)`", row)
    }
    assert described == {*Manifest.model_fields, "checksum"}
    assert f"Format version **{FORMAT_VERSION}**" in PAGE.read_text(encoding="utf-8")
