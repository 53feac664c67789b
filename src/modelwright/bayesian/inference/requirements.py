"""Is what a person asked for there: the engine's packages, the device. Asked before any work is done."""

import importlib.util

from modelwright.core.errors import ConfigurationError, MissingDependencyError
from modelwright.core.names import unknown_name

_PACKAGES = {
    "pymc": ("pymc",),
    "nutpie": ("pymc", "nutpie", "numba"),
    "numpyro": ("jax", "numpyro"),
}


def require_engine(engine: str) -> None:
    """Return when the packages of an engine can be imported; costs no import.

    Raises:
        NotFoundError: no engine has this name.
        MissingDependencyError: a package is missing; the message has the line that installs it.

    Example:
        >>> require_engine("numpy")
        Traceback (most recent call last):
        modelwright.core.errors.NotFoundError: no engine is called 'numpy'; did you mean 'numpyro'? known: pymc, \
nutpie, numpyro
    """
    if engine not in _PACKAGES:
        raise unknown_name("engine", engine, _PACKAGES)
    missing = [package for package in _PACKAGES[engine] if not _is_installed(package)]
    if missing:
        raise MissingDependencyError(
            f"the engine {engine} needs {' and '.join(missing)}, not installed here",
            field="engine",
            todo=f"pip install 'modelwright[{engine}]'",
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def require_platform(platform: str, *, engine: str = "numpyro") -> None:
    """Return when an engine can run on "cpu" or "gpu" here.

    Raises:
        ConfigurationError: another word, or a GPU for an engine that knows none.
        MissingDependencyError: JAX sees no GPU; the message says what was looked for.
    """
    if platform not in ("cpu", "gpu"):
        raise ConfigurationError("not a platform", field="platform", expected="'cpu' or 'gpu'", got=platform)
    if platform == "cpu":
        return
    if engine != "numpyro":
        raise ConfigurationError(
            f"the engine {engine} runs on the CPU only",
            field="platform",
            expected="'cpu'",
            got=platform,
            todo="choose engine numpyro for a GPU",
        )
    import jax

    try:
        jax.devices("gpu")
    except RuntimeError as error:
        seen = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise MissingDependencyError(
            f"no GPU: looked for JAX devices of platform gpu, JAX {jax.__version__} sees {seen} only",
            field="platform",
            todo="pip install 'jax[cuda12]' on a machine with an NVIDIA GPU and driver, or choose platform cpu",
        ) from error
