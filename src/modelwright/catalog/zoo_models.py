"""Entries of the zoo as models of the catalog: found with the others, described without any framework."""

from typing import TYPE_CHECKING

from modelwright.catalog.metadata import ModelMetadata
from modelwright.catalog.parameters import InferenceParameter
from modelwright.catalog.roots import Root
from modelwright.core.errors import ModelwrightError
from modelwright.data.examples import EXAMPLE_SETS
from modelwright.zoo import Zoo, ZooEntry

if TYPE_CHECKING:
    from modelwright.catalog.discovery import ModelEntry

ORIGIN = "the zoo"


def zoo_entries(zoo: Zoo | None = None) -> "list[ModelEntry]":
    """Every entry of the zoo as an entry of the catalog, broken ones and what is none with their error."""
    from modelwright.catalog.discovery import ModelEntry

    zoo = Zoo() if zoo is None else zoo
    found = []
    for name, path in zoo.files().items():
        root = Root(path.parent, ORIGIN)
        try:
            found.append(ModelEntry(name, path, root, metadata=metadata_of(zoo.entry(name))))
        except ModelwrightError as error:
            found.append(ModelEntry(name, path, root, error=error))
    found += [ModelEntry(name, path, Root(path.parent, ORIGIN), error=why) for name, path, why in zoo.problems()]
    return found


def metadata_of(entry: ZooEntry) -> ModelMetadata:
    """What the catalog says of an entry: its data are a built-in set or a file, its questions those of any density."""
    expected = entry.expected
    reached = (
        f"not trained here: {expected.construction_only}"
        if expected.construction_only is not None
        else f"expected {expected.value:g} {expected.metric} on {expected.data}"
    )
    return ModelMetadata(
        name=entry.name,
        description=f"{entry.description} ({reached})",
        version=entry.version,
        author="Modelwright",
        tags=tuple(dict.fromkeys((entry.type, entry.category, *entry.tags))),
        data_params=(
            InferenceParameter(
                name="data",
                type="string",
                label="Data",
                required=True,
                default=_default_data(entry),
                help_text=f"A built-in set ({', '.join(EXAMPLE_SETS)}), or a .npz, .npy, .csv or .txt file",
            ),
        ),
        inference_params=(
            InferenceParameter(
                name="data",
                type="string",
                label="Data",
                help_text="Examples to ask about, as for train, all in their order; the held-out part when left out",
            ),
            InferenceParameter(
                name="limit",
                type="integer",
                default=10,
                min_value=1,
                max_value=1_000_000,
                help_text="Examples to show",
            ),
        ),
    )


def _default_data(entry: ZooEntry) -> str | None:
    return entry.expected.data if entry.expected.data in EXAMPLE_SETS else None
