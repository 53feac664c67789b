"""A trace without ArviZ: the same groups under the same names, for those who compute with them.

Importing ArviZ brings all of its plots in, and takes longer than most answers that are drawn from a trace. Whoever asks
for an `InferenceData` gets one (`to_inference_data`); a training of the base model
by the collapsed engine and an answer need none.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

import xarray as xr

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az


@final
class TraceGroups:
    """Named groups of draws and data, read like those of an `InferenceData`: `trace.posterior`, `trace["posterior"]`.

    Args:
        groups: Name -> dataset; kept in this order.
        attrs: Attributes of the whole.

    Example:
        >>> trace = TraceGroups({"posterior": xr.Dataset({"mu": (("chain", "draw"), [[1.0, 2.0]])})})
        >>> trace.groups(), float(trace.posterior["mu"].mean()), "prior" in trace
        (['posterior'], 1.5, False)
    """

    def __init__(self, groups: Mapping[str, xr.Dataset], attrs: Mapping[str, Any] | None = None) -> None:
        self._groups = dict(groups)
        self.attrs: dict[str, Any] = dict(attrs or {})

    def __getattr__(self, name: str) -> xr.Dataset:
        # Copying asks for attributes before there are any groups.
        if name.startswith("_") or name not in self._groups:
            raise AttributeError(f"the trace has no group {name!r}")
        return self._groups[name]

    def __getitem__(self, name: str) -> xr.Dataset:
        return self._groups[name]

    def __contains__(self, name: object) -> bool:
        return name in self._groups

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def groups(self) -> list[str]:
        """Names of the groups, in their order."""
        return list(self._groups)

    def put(self, groups: Mapping[str, xr.Dataset]) -> None:
        """Add groups at the end; those that are there are replaced."""
        for name, group in groups.items():
            self._groups.pop(name, None)
            self._groups[name] = group

    def to_inference_data(self) -> "az.InferenceData":
        """The same as ArviZ has it; no number is copied."""
        from modelwright.bayesian.quiet_arviz import az

        return az.InferenceData(attrs=self.attrs, **self._groups)
