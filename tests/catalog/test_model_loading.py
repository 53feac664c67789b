"""A model's code runs when the model is used: beside its files, inside its root, and its failures are sentences."""

import sys
from pathlib import Path

import pytest

from modelwright.catalog.base_model import BaseBayesianModel
from modelwright.catalog.model_registry import ModelRegistry
from modelwright.core.errors import ConfigurationError, MissingDependencyError

CONFIG = "name: Calls\ndescription: what it is for\nversion: 1.0\n"
SOUND = """
from modelwright.catalog.base_model import BaseBayesianModel
from .calls_data import VALUE

class Calls(BaseBayesianModel):
    value = VALUE
    def load_data(self, **options): return None
    def fit(self, data, *, settings, progress, **parameters): raise NotImplementedError
    def ask(self, params, run): return {}
"""
IMPORT = "from modelwright.catalog.base_model import BaseBayesianModel\n"


@pytest.fixture
def directory(project: Path) -> Path:
    directory = project / "bayesian_models" / "calls"
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(CONFIG)
    (directory / "calls_data.py").write_text("VALUE = 1\n")
    (directory / "calls.py").write_text(SOUND)
    return directory


def load(project: Path) -> BaseBayesianModel:
    model = ModelRegistry(project).load_model_instance("calls")
    assert isinstance(model, BaseBayesianModel)
    return model


def refusal(directory: Path, code: str) -> str:
    (directory / "calls.py").write_text(code)
    with pytest.raises(ConfigurationError) as caught:
        load(directory.parents[1])
    assert caught.value.field == "calls"
    return str(caught.value)


def test_model_is_made_with_its_neighbours_and_without_touching_the_path(directory, project):
    before = list(sys.path)
    model = load(project)
    assert (model.model_id, model.metadata.name, model.project) == ("calls", "Calls", project)
    assert model.value == 1
    assert sys.path == before
    assert "calls" not in sys.modules
    assert "calls_data" not in sys.modules


def test_unchanged_code_is_loaded_once_and_changed_code_anew(directory, project):
    first = load(project)
    assert type(load(project)) is type(first)
    (directory / "calls_data.py").write_text("VALUE = 1000\n")
    assert load(project).value == 1000
    assert first.value == 1


def test_models_of_one_name_in_two_projects_do_not_meet(directory, project, tmp_path):
    other = tmp_path / "other"
    (other / "bayesian_models").mkdir(parents=True)
    for path in directory.glob("*.*"):
        target = other / "bayesian_models" / "calls" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (other / "bayesian_models" / "calls" / "calls_data.py").write_text("VALUE = 'other'\n")
    assert load(project).value == 1
    assert load(other).value == "other"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def broken(:\n", "calls: its code is not Python: invalid syntax"),
        ("x = 1\nx = 1 / 0\n", "calls: its code fails when loaded: ZeroDivisionError: division by zero"),
        ("import no_such_thing\n", "calls: its code needs the module no_such_thing, which is not installed"),
        ("from json import no_such_name\n", "calls: its code fails when loaded: ImportError: cannot import name"),
        ("raise SystemExit('bye')\n", "calls: its code fails when loaded: SystemExit: bye"),
        ("x = 1\0\n", "calls: its code"),
        ("", "defines no model; expected one class derived from BaseBayesianModel"),
        (IMPORT, "defines no model; expected one class derived from BaseBayesianModel"),
        (SOUND + SOUND.replace("class Calls", "class More"), "2 models; expected exactly one, got 'Calls, More'"),
        (
            IMPORT + "class Calls(BaseBayesianModel):\n    def load_data(self, **options): ...\n",
            "is not finished; define ask, fit",
        ),
        (
            SOUND + "    def __init__(self, *arguments):\n        raise KeyError('nothing')\n",
            "calls: its code fails when loaded: KeyError: 'nothing'",
        ),
    ],
    ids=[
        "syntax", "error", "module", "name", "exit", "NUL", "empty", "only the base", "two", "abstract", "constructor",
    ],
)  # fmt: skip
def test_failing_code_is_a_sentence(directory, code, sentence):
    assert sentence in refusal(directory, code)


def test_failure_leaves_no_half_loaded_module(directory):
    before = set(sys.modules)
    refusal(directory, SOUND + "\nraise ValueError\n")
    assert not [name for name in set(sys.modules) - before if "calls" in name]


def test_failure_names_file_and_line(directory):
    assert f"{directory / 'calls.py'}, line 2" in refusal(directory, "x = 1\nx = 1 / 0\n")
    assert f"{directory / 'calls.py'}, line 1" in refusal(directory, "def broken(:\n")
    # The line of the person's own code, not the library's where it ended.
    assert f"{directory / 'calls.py'}, line 3" in refusal(directory, "import json\n\njson.loads('{')\n")


def test_failure_of_a_neighbour_names_the_neighbour(directory):
    (directory / "calls_data.py").write_text("VALUE = undefined\n")
    assert f"{directory / 'calls_data.py'}, line 1" in refusal(directory, SOUND)


def test_refusals_of_the_house_pass_unchanged(directory, project):
    (directory / "calls.py").write_text(
        "from modelwright.core.errors import MissingDependencyError\nraise MissingDependencyError('no engine')\n"
    )
    with pytest.raises(MissingDependencyError, match="no engine"):
        load(project)


def test_interrupt_while_loading_is_no_refusal(directory, project):
    (directory / "calls.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(project)


def test_model_without_code(directory, project):
    (directory / "calls.py").unlink()
    with pytest.raises(ConfigurationError, match=r"calls: has no code; expected a file .*calls\.py"):
        load(project)


@pytest.mark.parametrize("name", ["calls.py", "calls_data.py", "deeper/extra.py"])
def test_code_outside_the_root_is_not_run(directory, project, tmp_path, name):
    ran = tmp_path / "ran"
    outside = tmp_path / "outside.py"
    outside.write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nVALUE = 1\n")
    link = directory / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    with pytest.raises(ConfigurationError, match="leaves its folder"):
        load(project)
    assert not ran.exists()


def test_link_within_the_root_is_fine(directory, project):
    shared = directory.parent / "shared"
    shared.mkdir()
    (shared / "calls_data.py").write_text("VALUE = 'shared'\n")
    (directory / "calls_data.py").unlink()
    (directory / "calls_data.py").symlink_to(shared / "calls_data.py")
    assert load(project).value == "shared"


def test_models_of_the_package_are_imported_by_their_name(project):
    pytest.importorskip("duckdb")
    model = ModelRegistry(project).load_model_instance("event_rates")
    assert type(model).__module__ == "modelwright.catalog.models.event_rates.event_rates"
