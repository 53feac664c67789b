"""Units of the data, such as a cell with the counts of all its genes: which there are, and log densities by unit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelwright.core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from modelwright.bayesian.inference.model_sites import Sites


def chosen_unit(sites: "Sites", unit: str | Sequence[str] | None, *, field: str) -> tuple[str, ...]:
    """The plates whose values are the units.

    Args:
        sites: The sites of the model.
        unit: Plate (or plates) wanted; the outermost plate of the data when left out.
        field: What refusals name.

    Raises:
        DataError: the model observes nothing, or all data in one number.
        ConfigurationError: no such plate.
    """
    observed = next(iter(sites.observed.values()), None)
    if observed is None or not observed.plates:
        name = "nothing" if observed is None else f"all data in one number ({observed.name})"
        raise DataError(
            f"the model observes {name}, so that no part can be left out",
            field=field,
            expected="an observed site inside the plates of its data",
            todo="pass model= with a model of the same unknowns that observes the data one by one",
        )
    known = [plate for plate, _ in observed.plates]
    chosen = (known[0],) if unit is None else (unit,) if isinstance(unit, str) else tuple(unit)
    for plate in chosen:
        if plate not in known:
            raise ConfigurationError("no such plate", field="unit", expected=f"some of {', '.join(known)}", got=plate)
    return chosen


def by_unit(log_prob: Any, plates: Mapping[str, int], unit: tuple[str, ...], name: str, *, field: str) -> Any:
    """Log densities of one site summed over everything within a unit, flattened.

    Args:
        log_prob: One per value of the site's plates.
        plates: Plate -> its dimension, counted from the end.
        unit: The plates that make the unit.
        name: The site.
        field: What refusals name.

    Raises:
        DataError: the site does not stand in the plates of the unit.

    Example:
        >>> import numpy as np
        >>> by_unit(np.ones((4, 3)), {"cells": -2, "genes": -1}, ("cells",), "counts", field="loo").tolist()
        [3.0, 3.0, 3.0, 3.0]
    """
    missing = [plate for plate in unit if plate not in plates]
    if missing:
        raise DataError(
            f"the observed site {name} does not stand in the plate {missing[0]}",
            field=field,
            expected="all data in the plates of the unit",
            todo="choose a unit that all observed sites share",
        )
    kept = [log_prob.ndim + plates[plate] for plate in unit]
    summed = log_prob.sum(tuple(axis for axis in range(log_prob.ndim) if axis not in kept))
    return summed.reshape(-1)
