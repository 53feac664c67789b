"""Running the code of one model directory, when its model is used and not before.

A directory below a plain root becomes a package of its own, made up on the spot: `{id}.py` is its module, and
`from .{id}_data import ...` finds the file beside it. `sys.path` stays as it is, and two directories of the same name
never meet. A directory inside an importable package is imported by its real name.
"""

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from modelwright.catalog.catalog_model import AbstractCatalogModel
from modelwright.core.errors import ConfigurationError, ModelwrightError
from modelwright.core.files import inside

_LOCK = threading.RLock()


def load_model_class(
    model_id: str, directory: Path, *, root: Path, package: str | None = None
) -> type[AbstractCatalogModel[object]]:
    """The one model class defined in `directory/{model_id}.py`.

    Args:
        model_id: The id, and the name of the directory.
        directory: The model directory.
        root: The configured root that it lies in; no file from outside is run.
        package: The dotted name of the directory when it is importable, else None.

    Raises:
        ConfigurationError: no such file, a link that leaves the root, an error while the code ran (with file and
            line), or not exactly one model class.
    """
    code = directory / f"{model_id}.py"
    if not code.is_file():
        raise ConfigurationError(
            "has no code", field=model_id, expected=f"a file {code}", todo="write one with: modelwright new model ID"
        )
    _refuse_escapes(directory, root)
    with _LOCK, explained_failures(model_id, directory):
        module = _imported(model_id, directory, package)
    return _only_model_class(module, model_id, code)


def _refuse_escapes(directory: Path, root: Path) -> None:
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                inside(root, str(path.relative_to(root)), field=str(path))


def _imported(model_id: str, directory: Path, package: str | None) -> ModuleType:
    if package is not None:
        module = importlib.import_module(f"{package}.{model_id}")
        expected = directory / f"{model_id}.py"
        if module.__file__ is None or Path(module.__file__).resolve() != expected.resolve():
            raise ConfigurationError(
                f"the module {package}.{model_id} is another file",
                field=model_id,
                expected=str(expected),
                got=module.__file__,
                todo="rename the package, or restart after installing",
            )
        return module
    # The name follows the code: unchanged files are loaded once, changed ones anew.
    parent = f"_modelwright_model_{model_id}_{_fingerprint(directory)}"
    name = f"{parent}.{model_id}"
    if name in sys.modules:
        return sys.modules[name]
    enclosing = ModuleType(parent, f"The model directory {directory}.")
    enclosing.__path__ = [str(directory)]
    specification = importlib.util.spec_from_file_location(name, directory / f"{model_id}.py")
    if specification is None or specification.loader is None:
        raise ConfigurationError("cannot be imported", field=model_id)
    module = importlib.util.module_from_spec(specification)
    sys.modules[parent] = enclosing
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        for loaded in [loaded for loaded in sys.modules if loaded == parent or loaded.startswith(f"{parent}.")]:
            del sys.modules[loaded]
        raise
    return module


def _fingerprint(directory: Path) -> str:
    digest = hashlib.sha256(str(directory.resolve()).encode("utf-8", "surrogateescape"))
    for path in sorted(directory.rglob("*.py")):
        digest.update(str(path.relative_to(directory)).encode("utf-8", "surrogateescape"))
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def explained_failures(model_id: str, directory: Path) -> Iterator[None]:
    """Turn what a model's code raises while it is loaded into a sentence with file and line."""
    try:
        yield
    except ModelwrightError:
        raise
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise ConfigurationError(f"its code is not Python: {error.msg} ({where})", field=model_id) from error
    except ModuleNotFoundError as error:
        where = _place(error, directory)
        raise ConfigurationError(
            f"its code needs the module {error.name}, which is not installed ({where})",
            field=model_id,
            todo=f"install what provides {error.name}, or correct the name",
        ) from error
    except (Exception, SystemExit) as error:  # anybody's code: whatever it raises becomes one sentence
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ConfigurationError(
            f"its code fails when loaded: {said} ({_place(error, directory)})", field=model_id
        ) from error


def _place(error: BaseException, directory: Path) -> str:
    """The last line of the model's own code that was running, else the last line at all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(directory)]
    frame = (own or list(frames))[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _only_model_class(module: ModuleType, model_id: str, code: Path) -> type[AbstractCatalogModel[object]]:
    own = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, AbstractCatalogModel) and thing.__module__ == module.__name__
    ]
    concrete = [thing for thing in own if not inspect.isabstract(thing)]
    if len(concrete) == 1:
        return concrete[0]
    if concrete:
        names = ", ".join(thing.__name__ for thing in concrete)
        raise ConfigurationError(
            f"{code} defines {len(concrete)} models", field=model_id, expected="exactly one", got=names
        )
    if own:
        lacking = ", ".join(sorted(own[-1].__abstractmethods__))
        raise ConfigurationError(
            f"the class {own[-1].__name__} in {code} is not finished", field=model_id, todo=f"define {lacking}"
        )
    raise ConfigurationError(
        f"{code} defines no model",
        field=model_id,
        expected="one class derived from BaseBayesianModel",
        todo="see docs/adding-a-model.md",
    )
