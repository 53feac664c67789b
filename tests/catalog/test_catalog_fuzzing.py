"""Whatever is fed to descriptions, forms and the registry: a valid object, or a refusal that names the field."""

import json
import string
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelwright.catalog.metadata import ModelMetadata
from modelwright.catalog.model_registry import ModelRegistry
from modelwright.catalog.parameters import InferenceParameter, validate_parameters
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**330),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["", " ", "nan", "1e999", "false", "True", "4348.0", "\0", "\ud800", "1_0", "0x10", "-0", "a"]),
    st.binary(max_size=5),
    st.dates(),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(SCALARS.filter(lambda key: key == key), inner, max_size=4)
    ),
    max_leaves=12,
)

TYPES = st.sampled_from(["integer", "float", "string", "select", "boolean"])
NAMES = st.sampled_from(["entity", "horizon", "interval", "x", "draws", "class", "Bad name", ""])
# Near misses find more than noise: known keys with values that are mostly, but not always, of the right kind.
DECLARATIONS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(NAMES, ANYTHING),
        "type": st.one_of(TYPES, ANYTHING),
        "label": ANYTHING,
        "default": ANYTHING,
        "required": st.one_of(st.booleans(), ANYTHING),
        "min_value": st.one_of(st.none(), st.floats(), st.integers(), ANYTHING),
        "max_value": st.one_of(st.none(), st.floats(), st.integers(), ANYTHING),
        "options": st.one_of(st.none(), st.lists(SCALARS, max_size=4), ANYTHING),
        "help_text": ANYTHING,
        "typ": ANYTHING,
    },
)
SOUND_DECLARATIONS = st.one_of(
    st.builds(lambda: {"name": "n", "type": "integer", "default": 3, "min_value": 1, "max_value": 9}),
    st.builds(lambda: {"name": "f", "type": "float", "min_value": -1.5}),
    st.builds(lambda: {"name": "s", "type": "string", "required": True}),
    st.builds(lambda: {"name": "c", "type": "select", "options": ["a", 1, 2.5], "default": "a"}),
    st.builds(lambda: {"name": "b", "type": "boolean", "default": False}),
)
CONFIGURATIONS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.just("Calls"), ANYTHING),
        "description": st.one_of(st.just("Calls per station"), ANYTHING),
        "version": st.one_of(st.just(1.0), ANYTHING),
        "author": ANYTHING,
        "status": st.one_of(st.sampled_from(["active", "beta", "deprecated"]), ANYTHING),
        "tags": st.one_of(st.lists(st.text(max_size=5), max_size=3), ANYTHING),
        "inference_params": st.one_of(st.lists(SOUND_DECLARATIONS, max_size=3), st.lists(DECLARATIONS, max_size=2)),
        "data_params": st.one_of(st.lists(SOUND_DECLARATIONS, max_size=2), ANYTHING),
        "train_params": st.one_of(st.lists(SOUND_DECLARATIONS, max_size=2), ANYTHING),
        "training": st.one_of(
            st.fixed_dictionaries({}, optional={"chains": SCALARS, "warmup": SCALARS, "target_accept": SCALARS}),
            ANYTHING,
        ),
        "colour": ANYTHING,
    },
)


def says_something(error: ModelwrightError, *, field: str | None = None, naming: str = "") -> None:
    text = str(error)
    assert error.field or "expected" in text or isinstance(error, NotFoundError), text
    assert field in (None, error.field), text
    assert naming in text
    assert text.isprintable() or "\n" in text, text
    assert len(text) < 2_000
    json.dumps(error.as_document()).encode()


@given(DECLARATIONS)
@example({"name": "a", "type": "select", "options": [float("nan"), float("nan")]})
@example({"name": "a", "type": "integer", "min_value": 10**5000})
def test_declaration_is_made_or_refused(declaration: dict[str, Any]) -> None:
    try:
        made = InferenceParameter.from_mapping(declaration)
    except ConfigurationError as error:
        says_something(error)
        return
    json.dumps(made.form_field(), allow_nan=False)
    assert InferenceParameter.from_mapping(made.model_dump()) == made  # what is kept is accepted again
    if made.default is not None:
        assert made.validate_value(made.default) == made.default


@given(SOUND_DECLARATIONS, ANYTHING)
@example({"name": "n", "type": "integer"}, 10**5000)
@example({"name": "c", "type": "select", "options": ["a"]}, 10**5000)
def test_value_is_taken_within_its_bounds_or_refused(declaration: dict[str, Any], value: Any) -> None:
    parameter = InferenceParameter.from_mapping(declaration)
    try:
        taken = parameter.validate_value(value)
    except ConfigurationError as error:
        says_something(error, field=parameter.name)
        return
    if taken is None:
        assert not parameter.required
        return
    kinds = {"integer": int, "float": float, "string": str, "boolean": bool, "select": (str, int, float)}
    assert isinstance(taken, kinds[parameter.type])
    assert isinstance(taken, bool) == (parameter.type == "boolean")
    if parameter.type in ("integer", "float"):
        assert (parameter.min_value or -1e300) <= taken <= (parameter.max_value or 1e309)
    if parameter.type == "select":
        assert taken in (parameter.options or ())
    json.dumps(taken, allow_nan=False).encode()
    assert parameter.validate_value(taken) == taken


@given(st.lists(SOUND_DECLARATIONS, unique_by=lambda d: d["name"]), ANYTHING)
def test_form_is_taken_or_refused(declarations: list[dict[str, Any]], given_values: Any) -> None:
    parameters = [InferenceParameter.from_mapping(declaration) for declaration in declarations]
    try:
        values = validate_parameters(parameters, given_values)
    except ConfigurationError as error:
        says_something(error)
        return
    assert list(values) == [parameter.name for parameter in parameters]
    assert validate_parameters(parameters, values) == values


@given(st.one_of(CONFIGURATIONS, ANYTHING))
def test_configuration_is_made_or_refused(configuration: Any) -> None:
    try:
        metadata = ModelMetadata.from_mapping(configuration, source="config.yaml")
    except ConfigurationError as error:
        says_something(error, naming="config.yaml")
        return
    assert ModelMetadata.from_mapping(metadata.model_dump()) == metadata
    assert ModelMetadata.from_mapping(json.loads(metadata.model_dump_json())) == metadata


@settings(max_examples=60)
@given(
    st.one_of(
        CONFIGURATIONS.map(lambda c: yaml.dump(c, allow_unicode=True).encode("utf-8", "surrogatepass")),
        st.binary(max_size=200),
        st.text(alphabet=string.printable, max_size=200).map(str.encode),
    )
)
def test_no_file_hides_the_other_models(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for model_id, text in (("sound", b"name: a\ndescription: b\nversion: 1\n"), ("other", content)):
            (root / model_id).mkdir()
            (root / model_id / "config.yaml").write_bytes(text)
        registry = ModelRegistry(folder, roots=[folder])
        rows = {row["model_id"]: row for row in registry.get_all_models_with_status()}
        assert rows["sound"]["error"] is None
        assert set(rows) == {"sound", "other"}
        assert (rows["other"]["error"] is None) == ("other" in registry.get_all_models())


@given(ANYTHING)
def test_no_id_does_anything_but_find_or_refuse(model_id: Any) -> None:
    registry = ModelRegistry("/", roots=[])
    for method in (registry.get_model_metadata, registry.load_model_instance, registry.get_model_status):
        try:
            method(model_id)
        except (ConfigurationError, NotFoundError) as error:
            says_something(error, naming="model")
        else:
            raise AssertionError("found a model where there is none")
