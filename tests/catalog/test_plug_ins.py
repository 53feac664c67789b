"""Installed packages bring models; they are found by their entry points and run only when used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelwright.catalog.model_registry import ModelRegistry
from modelwright.catalog.roots import locate_package

CONFIG = "name: Plugged\ndescription: from a plug-in\nversion: 1.0\n"
MODEL = """
from modelwright.catalog.base_model import BaseBayesianModel
from plugged_pkg.shared import ANSWER
from .plugged_data import VALUE

class Plugged(BaseBayesianModel):
    answer_and_value = (ANSWER, VALUE)
    def load_data(self, **options): return None
    def fit(self, data, *, settings, progress, **parameters): raise NotImplementedError
    def ask(self, params, run): return {}
"""


def install(site: Path, entry_points: str, *, name: str = "plugged-pkg") -> None:
    """What pip leaves behind: a dist-info folder with metadata and entry points."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages: plugged_pkg says aloud when it is imported."""
    site = tmp_path / "site"
    package = site / "plugged_pkg"
    directory = package / "models" / "plugged"
    directory.mkdir(parents=True)
    (package / "__init__.py").write_text("print('IMPORTED')\n")
    (package / "shared.py").write_text("ANSWER = 42\n")
    (package / "models" / "__init__.py").write_text("print('IMPORTED')\n")
    (directory / "__init__.py").touch()
    (directory / "config.yaml").write_text(CONFIG)
    (directory / "plugged.py").write_text(MODEL)
    (directory / "plugged_data.py").write_text("VALUE = 7\n")
    return site


def run_python(program: str, site: Path, cwd: Path) -> list[str]:
    # A process of its own: what is imported here must not stay in this one.
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LIST_THEN_LOAD = """
from modelwright.catalog.model_registry import ModelRegistry
registry = ModelRegistry()
row = [r for r in registry.get_all_models_with_status() if r["model_id"] == "plugged"][0]
print(row["name"], row["error"], [e for e in registry.entries() if e.model_id == "plugged"][0].root.origin)
print(registry.load_model_instance("plugged").answer_and_value)
print(type(registry.load_model_instance("plugged")).__module__)
"""


@pytest.mark.parametrize("value", ["plugged_pkg.models", "plugged_pkg.models.plugged"], ids=["root", "directory"])
def test_plug_in_is_listed_without_import_and_imported_by_its_name(site, project, value):
    install(site, f"[modelwright.models]\nanything = {value}\n")
    lines = run_python(LIST_THEN_LOAD, site, project)
    assert lines[0] == "Plugged None the plug-in plugged-pkg"  # and IMPORTED only after it
    assert set(lines[1:-2]) == {"IMPORTED"}
    assert lines[-2:] == ["(42, 7)", "plugged_pkg.models.plugged.plugged"]


@pytest.mark.parametrize(
    ("entry_points", "sentence"),
    [
        ("[modelwright.models]\ngone = no_such_package.models\n", "names the package no_such_package.models, which is"),
        ("[modelwright.models]\nodd = plugged_pkg.models:thing\n", "expected the dotted name of a package"),
        ("[modelwright.models]\nodd = plugged_pkg.shared\n", "names the package plugged_pkg.shared, which is not"),
        ("[modelwright.models]\nthis line says nothing\n", "its entry points cannot be read"),
    ],
)
def test_broken_plug_in_is_listed_and_hides_nothing(site, project, monkeypatch, entry_points, sentence):
    install(site, entry_points)
    monkeypatch.syspath_prepend(str(site))
    registry = ModelRegistry(project)
    assert "event_rates" in registry.get_all_models()
    errors = [row["error"] for row in registry.get_all_models_with_status() if row["error"]]
    assert any(sentence in error for error in errors), errors


def test_plug_in_installed_twice_counts_as_the_first(site, project, tmp_path, monkeypatch):
    install(site, "[modelwright.models]\nm = plugged_pkg.models\n")
    install(tmp_path / "second", "[modelwright.models]\nm = plugged_pkg.models\nold = long_gone.models\n")
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    monkeypatch.syspath_prepend(str(site))
    found = [entry.model_id for entry in ModelRegistry(project).entries()]
    assert found.count("plugged") == 1
    assert "old" not in found


def test_locating_a_package_imports_nothing(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    assert locate_package("plugged_pkg.models") == site / "plugged_pkg" / "models"
    assert locate_package("plugged_pkg.nothing") is None
    assert locate_package("plugged_pkg.shared.deeper") is None
    assert locate_package("sys") is None
    assert not [name for name in sys.modules if name.startswith("plugged_pkg")]
