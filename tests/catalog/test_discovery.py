"""Which models there are: every root, every kind of broken directory, and no code run while listing."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelwright.catalog.model_registry import ModelRegistry, get_registry, reset_registry
from modelwright.cli.app import main
from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError

CONFIG = "name: {name}\ndescription: what it is for\nversion: 1.0\nstatus: {status}\n"


def put_model(root: Path, model_id: str, *, name: str = "Some model", status: str = "active", code: str = "") -> Path:
    directory = root / model_id
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(CONFIG.format(name=name, status=status))
    (directory / f"{model_id}.py").write_text(code or "raise RuntimeError('model code ran while listing')\n")
    return directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(project: Path, root: Path) -> ModelRegistry:
    return ModelRegistry(project, roots=[root])


def broken_of(registry: ModelRegistry) -> dict[str, str]:
    return {entry["model_id"]: entry["error"] for entry in registry.get_all_models_with_status() if entry["error"]}


# What is found --------------------------------------------------------------------------------------------------------


def test_the_package_brings_event_rates(project):
    assert "event_rates" in ModelRegistry(project).get_all_models()


def test_roots_in_order_package_project_variable(project, tmp_path, monkeypatch):
    put_model(project / "bayesian_models", "of_project")
    put_model(tmp_path / "one", "of_variable")
    single = put_model(tmp_path / "two", "alone")  # a path may also be a model directory itself
    monkeypatch.setenv("MODELWRIGHT_MODELS", os.pathsep.join([str(tmp_path / "one"), "", str(single)]))
    entries = ModelRegistry(project).entries()
    found = [entry.model_id for entry in entries if entry.root.origin != "a plug-in"]
    assert found.index("event_rates") < found.index("of_project") < found.index("of_variable") < found.index("alone")
    assert {e.model_id: e.root.origin for e in entries}["alone"] == "MODELWRIGHT_MODELS"


def test_relative_path_of_the_variable_is_taken_from_the_project(project, tmp_path, monkeypatch):
    put_model(project / "shelf", "calls")
    monkeypatch.setenv("MODELWRIGHT_MODELS", "shelf")
    registry = ModelRegistry(project)
    monkeypatch.chdir(tmp_path)
    assert "calls" in registry.get_all_models()


def test_a_directory_reached_twice_is_one_model(project, monkeypatch):
    directory = put_model(project / "bayesian_models", "calls")
    monkeypatch.setenv("MODELWRIGHT_MODELS", os.pathsep.join([str(directory.parent), str(directory)]))
    assert [e.model_id for e in ModelRegistry(project).entries()].count("calls") == 1


def test_what_has_no_config_is_no_model(registry, root):
    (root / "notes.txt").write_text("not a directory")
    (root / "__pycache__").mkdir()
    (root / "drafts").mkdir()
    put_model(root, ".calls.1234.partial")
    assert registry.entries() == []


def test_new_models_appear_and_removed_ones_go(registry, root):
    assert registry.get_all_models() == {}
    config = put_model(root, "calls") / "config.yaml"
    assert list(registry.get_all_models()) == ["calls"]
    config.unlink()
    assert registry.get_all_models() == {}


def test_listing_runs_no_model_code_and_loads_no_framework(root, project):
    put_model(root, "calls", code="import sys\nsys.stderr.write('RAN')\nraise SystemExit(9)\n")
    program = (
        "import sys; from modelwright.catalog.model_registry import ModelRegistry; r = ModelRegistry();"
        "assert 'calls' in r.get_all_models(); r.get_all_models_with_status(); r.get_model_for_dropdown();"
        "r.get_model_metadata('calls'); r.get_model_status('calls');"
        "print([m for m in ('jax', 'numpyro', 'pymc', 'arviz', 'pandas', 'matplotlib', 'xarray') if m in sys.modules])"
    )
    env = {**os.environ, "MODELWRIGHT_MODELS": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


# What is broken -------------------------------------------------------------------------------------------------------


def test_broken_directories_are_listed_and_hide_nothing(registry, root, tmp_path):
    put_model(root, "sound", name="Sound")
    broken = {
        "bad_yaml": b"name: [unclosed",
        "bomb": b"a: &a [x]\nb: [*a, *a]\n",
        "tagged": b"name: !!python/name:os.system\n",
        "doubled": b"name: a\nname: b\n",
        "with_nul": b"name: a\0b\n",
        "not_text": b"\xff\xfe\x00",
        "huge": b"#" + b"x" * (1 << 20),
        "unknown_key": b"name: a\ndescription: b\nversion: 1\ncolour: red\n",
        "empty": b"",
    }
    for model_id, content in broken.items():
        (root / model_id).mkdir()
        (root / model_id / "config.yaml").write_bytes(content)
    (root / "a_folder" / "config.yaml").mkdir(parents=True)
    (root / "a_loop").mkdir()
    (root / "a_loop" / "config.yaml").symlink_to("config.yaml")
    (root / "dangling").mkdir()
    (root / "dangling" / "config.yaml").symlink_to("gone.yaml")
    (root / "piped").mkdir()
    os.mkfifo(root / "piped" / "config.yaml")
    put_model(root, "Not A Name")
    found = broken_of(registry)
    assert set(found) == {*broken, "a_folder", "a_loop", "dangling", "piped", "Not A Name"}
    assert list(registry.get_all_models()) == ["sound"]
    assert "colour: unknown key" in found["unknown_key"]
    assert str(root / "unknown_key" / "config.yaml") in found["unknown_key"]
    assert "not a usable name" in found["Not A Name"]
    status = {entry["model_id"]: entry for entry in registry.get_all_models_with_status()}
    assert status["sound"]["error"] is None
    assert (status["bomb"]["status"], status["bomb"]["is_trained"]) == ("broken", False)
    for model_id in broken:
        with pytest.raises(ConfigurationError):
            registry.get_model_metadata(model_id)
        with pytest.raises(ConfigurationError):
            registry.load_model_instance(model_id)


def test_errors_are_in_the_table_of_all_models(registry, root):
    put_model(root, "sound")
    (root / "empty").mkdir()
    (root / "empty" / "config.yaml").touch()
    table = registry.get_all_models_with_errors()
    assert list(table) == ["empty", "sound"]
    assert isinstance(table["empty"], ConfigurationError)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """The superuser may read everything, so that permissions show only without its rights."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_config_and_folder_are_listed():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        put_model(root, "sound")
        closed_file = put_model(root, "closed_file") / "config.yaml"
        closed_folder = put_model(root, "closed_folder")
        closed_file.chmod(0)
        closed_folder.chmod(0)
        with ordinary_user():
            registry = ModelRegistry("/", roots=[root])
            entries = {entry.model_id: entry for entry in registry.entries()}
        closed_folder.chmod(0o755)
    assert entries["sound"].error is None
    assert isinstance(entries["closed_file"].error, StorageError)
    assert "Permission denied" in str(entries["closed_file"].error)
    assert isinstance(entries["closed_folder"].error, StorageError)


def test_named_root_that_is_absent_is_an_error_and_the_project_folder_is_not(project, monkeypatch):
    monkeypatch.setenv("MODELWRIGHT_MODELS", "/nowhere/models")
    registry = ModelRegistry(project)
    assert broken_of(registry) == {
        "models": "MODELWRIGHT_MODELS names the folder /nowhere/models, which does not exist"
    }
    assert "event_rates" in registry.get_all_models()


@pytest.mark.parametrize("name", ["loop", "a\0b"])
def test_root_that_cannot_be_read(project, tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (entry,) = ModelRegistry(project, roots=[tmp_path / name]).entries()
    assert "cannot read the folder" in str(entry.error)


def test_two_models_of_one_id_the_first_wins_visibly(project, tmp_path, monkeypatch):
    put_model(project / "bayesian_models", "calls", name="First")
    second = put_model(tmp_path / "more", "calls", name="Second")
    monkeypatch.setenv("MODELWRIGHT_MODELS", str(tmp_path / "more"))
    registry = ModelRegistry(project)
    assert registry.get_model_metadata("calls").name == "First"
    rows = [row for row in registry.get_all_models_with_status() if row["model_id"] == "calls"]
    assert [row["status"] for row in rows] == ["active", "broken"]
    assert rows[1]["error"].startswith(f"calls: the model in {second} is hidden: the project provides one of this id")


def test_broken_directory_takes_no_id_from_a_sound_one(project, tmp_path, monkeypatch):
    (project / "bayesian_models" / "calls").mkdir(parents=True)
    (project / "bayesian_models" / "calls" / "config.yaml").touch()
    put_model(tmp_path / "more", "calls", name="Second")
    monkeypatch.setenv("MODELWRIGHT_MODELS", str(tmp_path / "more"))
    registry = ModelRegistry(project)
    assert registry.get_model_metadata("calls").name == "Second"
    assert "calls" in broken_of(registry)


# Walls ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_id", ["../secret", "..", "a/b", "/etc", "a\0b", "", "A", "a b", "con", 7, None])
def test_id_that_could_leave_its_root_is_refused(registry, model_id):
    for method in (registry.get_model_metadata, registry.load_model_instance, registry.get_model_status):
        with pytest.raises(ConfigurationError) as caught:
            method(model_id)
        assert caught.value.field == "model"


def test_links_out_of_the_root_are_refused(registry, root, tmp_path):
    outside = put_model(tmp_path / "outside", "calls")
    (root / "calls").symlink_to(outside)
    inner = root / "borrowed"
    inner.mkdir()
    (inner / "config.yaml").symlink_to(outside / "config.yaml")
    found = broken_of(registry)
    assert set(found) == {"calls", "borrowed"}
    assert all("leaves its folder" in sentence for sentence in found.values())


def test_unknown_id_names_the_nearest(registry, root):
    put_model(root, "calls")
    with pytest.raises(NotFoundError, match="no model is called 'cals'; did you mean 'calls'"):
        registry.get_model_metadata("cals")


# What faces show ------------------------------------------------------------------------------------------------------


def test_dropdown_has_active_by_name_then_beta_and_no_deprecated(registry, root):
    put_model(root, "zebra", name="alpha")
    put_model(root, "ant", name="Beta")
    put_model(root, "bee", name="Aardvark", status="beta")
    put_model(root, "cow", name="Old", status="deprecated")
    choices = registry.get_model_for_dropdown()
    assert [(choice["value"], choice["label"]) for choice in choices] == [
        ("zebra", "alpha"),
        ("ant", "Beta"),
        ("bee", "Aardvark [BETA]"),
    ]
    assert "cow" in registry.get_all_models()


def test_status_of_a_model_never_trained(registry, root, project):
    put_model(root, "calls", name="Calls")
    assert registry.get_model_status("calls") == {
        "model_id": "calls",
        "name": "Calls",
        "version": "1.0",
        "status": "active",
        "is_trained": False,
        "has_trace": False,
        "last_trained": None,
        "output_dir": str(project / "models" / "calls"),
        "error": None,
    }
    assert not (project / "models").exists()  # asking leaves nothing behind


def test_one_registry_for_the_process(project, tmp_path, monkeypatch):
    reset_registry()
    try:
        registry = get_registry()
        assert registry.project == project
        monkeypatch.chdir(tmp_path)
        assert get_registry() is registry
        other = tmp_path / "other"
        other.mkdir()
        monkeypatch.setenv("MODELWRIGHT_PROJECT", str(other))
        reset_registry()
        assert get_registry().project == other
        monkeypatch.setenv("MODELWRIGHT_PROJECT", str(tmp_path / "gone"))
        reset_registry()
        with pytest.raises(NotFoundError, match="there is no project folder"):
            get_registry()
    finally:
        reset_registry()


# The zoo among them ---------------------------------------------------------------------------------------------------


def test_an_entry_of_the_zoo_whose_id_the_project_has_is_listed_as_hidden(project):
    directory = put_model(project / "bayesian_models", "vae_digits", name="Mine")
    registry = ModelRegistry(project)
    first, second = (row for row in registry.get_all_models_with_status() if row["model_id"] == "vae_digits")
    assert (first["name"], first["error"]) == ("Mine", None)
    assert second["status"] == "broken"
    assert "vae_digits.yaml is hidden: the project provides one of this id in" in second["error"]
    assert str(directory) in second["error"]
    assert registry.get_model_metadata("vae_digits").name == "Mine"


def test_a_broken_directory_takes_no_id_from_the_zoo(project):
    (put_model(project / "bayesian_models", "vae_digits") / "config.yaml").write_text("name: [")
    registry = ModelRegistry(project)
    assert registry.get_model_metadata("vae_digits").name == "vae_digits"
    assert "vae_digits" in broken_of(registry)


@pytest.mark.parametrize("text", ["name: [", "name: broken_one\nkind: x\n", "name: other\n"])
def test_a_broken_file_of_the_zoo_hides_no_other(project, tmp_path, monkeypatch, capsys, text):
    (tmp_path / "zoo" / "toy").mkdir(parents=True)
    (tmp_path / "zoo" / "toy" / "broken_one.yaml").write_text(text)
    monkeypatch.setenv("MODELWRIGHT_ZOO", str(tmp_path / "zoo"))
    assert main(["zoo", "list"]) == 0
    said = capsys.readouterr()
    row = next(line for line in said.out.splitlines() if "broken_one" in line)
    assert "toy" in row
    assert "broken" in row.replace("broken_one", "")
    assert "vae_digits" in said.out
    assert said.err.startswith("broken_one: ")
    assert main(["zoo", "list", "--category", "toy", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(found["broken_one"]) == {"name", "category", "error"}
    assert found["flow_moons"]["category"] == "toy"
    assert "broken_one" in broken_of(ModelRegistry(project))
