"""What a training ran in: package versions, the commit of the person's project, the machine, the memory it took."""

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PACKAGES = (
    "numpy", "scipy", "pandas", "pyarrow", "duckdb", "xarray", "arviz", "h5netcdf",
    "pymc", "pytensor", "nutpie", "numba", "numpyro", "jax", "jaxlib",
)  # fmt: skip
"""Distributions whose versions are recorded when they are installed."""

_GIT_SECONDS = 3.0


class GitState(BaseModel):
    """The commit a project stood at; `dirty`: tracked files differed from it (None when git took too long to say)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str
    dirty: bool | None


class Machine(BaseModel):
    """The machine, without anything that names it or its owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str
    cpu_count: int | None
    usable_cpu_count: int | None


def package_versions() -> dict[str, str]:
    """Versions of Python, Modelwright and every installed package of `PACKAGES`; nothing is imported for it.

    Example:
        >>> {"python", "modelwright", "numpy"} <= set(package_versions())
        True
    """
    from modelwright import __version__

    found = {"python": platform.python_version(), "modelwright": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # not installed: absent from the list
    return found


def git_state(folder: Path) -> GitState | None:
    """The commit of the repository around `folder`, or None when there is none, no git, or no answer in time."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return GitState(commit=commit, dirty=None if changes is None else bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    # Variables of a surrounding git (a hook) would point elsewhere; a repository's own fsmonitor hook is not run.
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env={**surroundings, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None  # a project without git is a project like any other
    return answer.stdout.strip() if answer.returncode == 0 else None


def machine() -> Machine:
    """Platform and processor counts.

    Example:
        >>> machine().platform == platform.platform()
        True
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Machine(platform=platform.platform(), cpu_count=os.cpu_count(), usable_cpu_count=usable)


def peak_memory_bytes() -> int:
    """The largest resident set of this process so far, or of the largest child it waited for if that was larger.

    The kernel keeps the peak over the life of the process, so a run in a process that did other work before it may
    report that work's peak.

    Example:
        >>> peak_memory_bytes() > 1_000_000
        True
    """
    unit = 1 if sys.platform == "darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit
