"""Whether runs can be compared: densities of the same thing, of the same observations of the same data."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics.groups import find_group, need_group, need_variable
from modelwright.bayesian.diagnostics.left_out_scores import is_sampled
from modelwright.core.errors import DataError

_OF_OBSERVATIONS = ("log_likelihood", "observed_data", "constant_data")
_OBS = "obs"


def on_common_windows(traces: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Restrict traces to the windows for which all of them hold log likelihoods.

    A trace of very many windows holds densities of a random part of them (`complete` is 0), under their positions in
    the data; of a complete one the same windows are taken, so that a sample compares with all.

    Args:
        traces: Run name -> trace.

    Returns:
        The traces' groups of observations, and a sentence about the sample; the traces as they are and None when all
        are complete.

    Raises:
        DataError: when a window of the sample is not in another run.
    """
    sampled = [name for name, trace in traces.items() if is_sampled(trace)]
    if not sampled:
        return dict(traces), None
    first = traces[sampled[0]]
    windows = find_group(first, "log_likelihood")[_OBS].values
    found = {name: _part(name, trace, windows, of=sampled[0]) for name, trace in traces.items()}
    total = find_group(first, "log_likelihood").attrs.get("windows_in_all")
    of = f" of {int(total):,}" if total is not None else ""
    return found, (
        f"Ranked on {len(windows):,}{of} windows, those of entities drawn at random (the same for every run), since "
        "log likelihoods are stored for these only; sums and their errors are of these windows."
    )


def _part(name: str, trace: Any, windows: np.ndarray, *, of: str) -> dict[str, Any]:
    groups = {"posterior": need_group(trace, "posterior", todo="sample the model first")}
    for group_name in _OF_OBSERVATIONS:
        group = find_group(trace, group_name)
        if group is None:
            continue
        if _OBS in group.dims and not np.array_equal(group[_OBS].values, windows):
            if not np.isin(windows, group[_OBS].values).all():
                raise DataError(
                    f"runs {of!r} and {name!r} were trained on different data: the windows stored of the one are not "
                    "in the other",
                    field="runs",
                    todo="compare runs on the same data only",
                )
            group = group.sel({_OBS: windows})
        groups[group_name] = group
    return groups


def refuse_different_data(traces: Mapping[str, Any], variable: str | None) -> None:
    """Refuse traces of other observations, exposures or entities.

    Raises:
        DataError: naming two runs and how their data differ.
    """
    constants = {name: find_group(trace, "constant_data") for name, trace in traces.items()}
    # Exposures and entities are part of the data: the same counts in other windows are other data. What only some of
    # the runs store (a model's own statistics, say) tells nothing about the others.
    common = set.intersection(*(set() if one is None else set(map(str, one.data_vars)) for one in constants.values()))
    first: tuple[str, tuple[int, ...], str] | None = None
    for name, trace in traces.items():
        group = need_group(trace, "observed_data", todo=f"train {name!r} again with its data stored")
        data = need_variable(group, variable, group_name="observed_data")
        values = np.ascontiguousarray(data.values, dtype=np.float64)
        parts = [values.tobytes()]
        for constant in sorted(common):
            parts.append(np.ascontiguousarray(constants[name][constant].values).astype(np.float64).tobytes())
        print_of = hashlib.sha256(b"|".join(parts)).hexdigest()
        if first is None:
            first = name, values.shape, print_of
        elif values.shape != first[1]:
            raise DataError(
                f"runs {first[0]!r} and {name!r} were trained on different data: "
                f"{first[1][0]} and {values.shape[0]} observations",
                field="runs",
                todo="compare runs on the same data only",
            )
        elif print_of != first[2]:
            raise DataError(
                f"runs {first[0]!r} and {name!r} were trained on different data: as many observations, other values",
                field="runs",
                todo="compare runs on the same data only",
            )


def refuse_different_densities(traces: Mapping[str, Any]) -> None:
    """Densities are comparable when they are of the same thing; a model of more than the counts says so itself."""
    found: dict[str, str] = {}
    for name, trace in traces.items():
        group = find_group(trace, "log_likelihood")
        found[name] = "count" if group is None else str(group.attrs.get("density_of", "count"))
    (one, of_one), *others = found.items()
    for other, of_other in others:
        if of_other != of_one:
            raise DataError(
                f"the densities of runs {one!r} and {other!r} are of different things: {of_one}, and {of_other}",
                field="runs",
                todo="compare runs that predict the same thing only",
            )
