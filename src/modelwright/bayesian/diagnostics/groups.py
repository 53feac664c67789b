"""Reading the groups of a trace: `TraceGroups`, an `InferenceData`, or the `DataTree` that a stored file opens as."""

import itertools
from typing import Any

import numpy as np
import xarray as xr

from modelwright.core.errors import DataError


def find_group(trace: Any, name: str) -> xr.Dataset | None:
    """The group `name` of a trace, or None when the trace has none.

    Example:
        >>> tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (("chain", "draw"), np.zeros((1, 2)))})})
        >>> list(find_group(tree, "posterior").data_vars), find_group(tree, "prior") is None
        (['mu'], True)
    """
    if name not in trace:
        return None
    found = trace[name]
    return found.to_dataset() if isinstance(found, xr.DataTree) else found


def need_group(trace: Any, name: str, *, todo: str) -> xr.Dataset:
    """The group `name` of a trace.

    Raises:
        DataError: when the trace has no such group, saying what it has and what to do.
    """
    found = find_group(trace, name)
    if found is None or not found.data_vars:
        raise DataError(
            f"the trace has no group {name!r}",
            field="trace",
            expected=f"a group {name!r} with draws",
            got=group_names(trace),
            todo=todo,
        )
    return found


def group_names(trace: Any) -> list[str]:
    """The names of a trace's groups, in their order."""
    return [str(name) for name in (trace.children if isinstance(trace, xr.DataTree) else trace.groups())]


def need_variable(group: xr.Dataset, variable: str | None, *, group_name: str) -> xr.DataArray:
    """The named variable of a group, or its only one when no name is given.

    Raises:
        DataError: when there is no such variable, or several and none was named.
    """
    names = [str(name) for name in group.data_vars]
    if variable is None and len(names) == 1:
        variable = names[0]
    if variable is None or variable not in names:
        raise DataError(
            f"cannot tell which variable of {group_name!r} to use" if variable is None else "no such variable",
            field="variable",
            expected=f"one of {', '.join(names)}",
            got=variable,
        )
    return group[variable]


def parameter_label(variable: xr.DataArray, position: int) -> str:
    """The name of one scalar of a variable with dims (chain, draw, ...), by its coordinates.

    Args:
        variable: Draws of a parameter.
        position: Index into the flattened trailing dimensions.

    Example:
        >>> dims, coords = ("chain", "draw", "entity"), {"entity": ["a", "b"]}
        >>> parameter_label(xr.DataArray(np.zeros((1, 2, 2)), dims=dims, coords=coords, name="theta"), 1)
        'theta[b]'
    """
    name = str(variable.name)
    dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
    if not dims:
        return name
    index = np.unravel_index(position, [variable.sizes[dim] for dim in dims])
    entries = [
        str(variable.coords[dim][i].item()) if dim in variable.coords else str(i)
        for dim, i in zip(dims, index, strict=True)
    ]
    return f"{name}[{', '.join(entries)}]"


def parameter_labels(variable: xr.DataArray) -> list[str]:
    """The names of all scalars of a variable, in the order of its flattened trailing dimensions.

    Example:
        >>> beta = xr.DataArray(np.zeros((1, 2, 2)), dims=("chain", "draw", "k"), name="beta")
        >>> parameter_labels(beta)
        ['beta[0]', 'beta[1]']
    """
    dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
    if not dims:
        return [str(variable.name)]
    entries = [
        variable.coords[dim].values.tolist() if dim in variable.coords else range(variable.sizes[dim]) for dim in dims
    ]
    return [f"{variable.name}[{', '.join(map(str, chosen))}]" for chosen in itertools.product(*entries)]
