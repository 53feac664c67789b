"""What a run says about where it was made."""

import os
import subprocess
import sys
from pathlib import Path

from modelwright.runs import environment
from modelwright.runs.environment import git_state, machine, package_versions


def git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{role}_{part}": "x@y" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **names})
    return done.stdout.strip()


def test_a_project_without_a_repository_has_no_commit(tmp_path) -> None:
    assert git_state(tmp_path) is None


def test_the_commit_and_whether_the_files_differ_from_it(tmp_path, monkeypatch) -> None:
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "x")
    commit = git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook of another repository
    assert git_state(tmp_path).model_dump() == {"commit": commit, "dirty": False}
    monkeypatch.undo()
    (tmp_path / "untracked").write_text("2")
    assert git_state(tmp_path).dirty is False
    (tmp_path / "a").write_text("3")
    assert git_state(tmp_path).dirty is True


def test_a_git_that_hangs_or_is_missing_never_holds_up_a_run(tmp_path, monkeypatch) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environment, "_GIT_SECONDS", 0.2)
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(tmp_path) is None


def test_versions_are_those_of_the_packages_that_are_installed() -> None:
    import numpy

    versions = package_versions()
    assert versions["numpy"] == numpy.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert machine().cpu_count == os.cpu_count()


def test_importing_the_store_loads_no_framework_and_changes_nothing() -> None:
    code = "import sys, modelwright.runs.store; print(sorted(set(sys.modules) & set(sys.argv[1].split())))"
    heavy = "pandas pyarrow xarray arviz h5netcdf h5py scipy matplotlib jinja2 pymc jax numpyro nutpie"
    done = subprocess.run([sys.executable, "-c", code, heavy], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
