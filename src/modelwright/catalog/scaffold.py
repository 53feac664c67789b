"""A new model from the template: a model directory and a training script that both work as they stand.

The template is a model like any other (`templates/template_model/`), so what a person starts from is tested code; only
its name is replaced.
"""

import keyword
import re
import secrets
import shutil
from pathlib import Path

from modelwright.catalog.model_registry import ModelRegistry
from modelwright.catalog.roots import PROJECT_FOLDER
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.core.files import make_folder, storage_errors, write_text
from modelwright.core.names import check_identifier

SCRIPT_FOLDER = "bayesian_scripts"

_TEMPLATES = Path(__file__).parent / "templates"
_TEMPLATE_ID = "template_model"


def new_model(model_id: str, project: Path | str) -> tuple[Path, ...]:
    """Write `bayesian_models/ID/` (config.yaml, ID.py, ID_data.py) and `bayesian_scripts/ID_train.py`.

    The model trains as it stands, on simulated data. Either everything is written or nothing; nothing is overwritten.

    Args:
        model_id: A lower-case letter, then lower-case letters, digits and underscores.
        project: The project folder.

    Returns:
        The four files, the training script last.

    Raises:
        ConfigurationError: an unusable id, or one that is taken. NotFoundError: no such project folder.
        StorageError: the disk refused.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [str(path.relative_to(folder)) for path in new_model("calls", folder)]  # doctest: +NORMALIZE_WHITESPACE
        ['bayesian_models/calls/config.yaml', 'bayesian_models/calls/calls.py',
         'bayesian_models/calls/calls_data.py', 'bayesian_scripts/calls_train.py']
    """
    project = Path(project).absolute()
    check_identifier(model_id, field="model")
    if keyword.iskeyword(model_id):
        raise ConfigurationError(
            "a word of the Python language",
            field="model",
            expected="another name",
            got=model_id,
            todo=f"try {model_id}_model",
        )
    if not project.is_dir():
        raise NotFoundError(f"there is no project folder {project}", field="project")
    directory = project / PROJECT_FOLDER / model_id
    script = project / SCRIPT_FOLDER / f"{model_id}_train.py"
    _refuse_taken(model_id, project, directory, script)
    files = {
        "config.yaml": _filled(f"{_TEMPLATE_ID}/config.yaml", model_id),
        f"{model_id}.py": _filled(f"{_TEMPLATE_ID}/{_TEMPLATE_ID}.py", model_id),
        f"{model_id}_data.py": _filled(f"{_TEMPLATE_ID}/{_TEMPLATE_ID}_data.py", model_id),
    }
    make_folder(directory.parent)
    # Written under a name that discovery passes over, and put in place in one step.
    hidden = directory.parent / f".{model_id}.{secrets.token_hex(4)}.partial"
    try:
        make_folder(hidden)
        for name, text in files.items():
            write_text(hidden / name, text)
        with storage_errors(directory):
            hidden.rename(directory)  # fails when somebody else made a model of this name meanwhile
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    try:
        write_text(script, _filled("_template_train.py", model_id))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return (*(directory / name for name in files), script)


def _refuse_taken(model_id: str, project: Path, directory: Path, script: Path) -> None:
    for path in (directory, script):
        if path.is_symlink() or path.exists():
            raise ConfigurationError(
                f"{path} exists already", field="model", got=model_id, todo="choose another name, or remove it"
            )
    for entry in ModelRegistry(project).entries():
        if entry.model_id == model_id:
            raise ConfigurationError(
                f"{entry.root.origin} has a model of this id already, in {entry.directory}",
                field="model",
                got=model_id,
                todo=f"choose another name, such as my_{model_id}",
            )


def _filled(template: str, model_id: str) -> str:
    """A template with the model's id, class name and title in place of its own."""
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    words = [word for word in model_id.split("_") if word]
    title = " ".join(words).capitalize()
    class_name = "".join(word.capitalize() for word in words)
    while re.search(rf"\b{class_name}\b", text):  # a model called grouped_counts, where GroupedCounts is taken
        class_name += "Model"
    for placeholder, value in ((_TEMPLATE_ID, model_id), ("TemplateModel", class_name), ("Template model", title)):
        text = text.replace(placeholder, value)
    return text.replace("The template model", "This model").replace("the template model", "this model")
