"""A fit shared between devices: each holds some rows of the data, all hold the parameters.

Arrays with the rows along their first axis are laid out in equal parts; of a mini-batch every device takes an equal
part of the rows drawn. The compiler adds the sums over devices to the gradient. Rows that do not come out even are kept
whole on every device, which changes where the work is done and nothing else.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpyro.primitives import Messenger

from modelwright.core.errors import MissingDependencyError

ROWS = "rows"


@dataclass(frozen=True)
class Layout:
    """How arrays lie on the devices.

    Args:
        mesh: The devices; None for one.
    """

    mesh: Mesh | None

    @property
    def whole(self) -> NamedSharding | None:
        """Everything on every device; None on one."""
        return None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec())

    @property
    def arranged(self) -> Callable[[], AbstractContextManager[Any]]:
        """The handler to run model and guide under."""
        mesh = self.mesh
        return nullcontext if mesh is None else lambda: _PartedPlates(mesh)

    def place(self, arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
        """Put the data onto the devices, by rows where they come out even."""
        if self.mesh is None:
            return tuple(jax.device_put(array) for array in arrays)
        rows = next((array.shape[0] for array in arrays if array.ndim), 0)
        # by way of an array of JAX's: put directly, one seen before in single precision would come back as that
        return tuple(jax.device_put(jnp.asarray(array), self._sharding(array, rows)) for array in arrays)

    def spread(self, state: Any) -> Any:
        """Put a state onto every device."""
        return state if self.mesh is None else jax.device_put(state, self.whole)

    def _sharding(self, array: np.ndarray, rows: int) -> NamedSharding:
        assert self.mesh is not None
        even = bool(array.ndim) and array.shape[0] == rows and rows % self.mesh.size == 0
        return NamedSharding(self.mesh, PartitionSpec(ROWS) if even else PartitionSpec())


def layout_over(devices: int) -> Layout:
    """The layout over so many devices.

    Raises:
        MissingDependencyError: JAX sees fewer.

    Example:
        >>> layout_over(1).mesh is None
        True
    """
    if devices == 1:
        return Layout(None)
    seen = jax.devices()
    if len(seen) < devices:
        raise MissingDependencyError(
            "there are not so many devices",
            field="devices",
            expected=f"at most {len(seen)}, which JAX sees ({', '.join(sorted({d.platform for d in seen}))})",
            got=devices,
        )
    return Layout(Mesh(np.array(seen[:devices]), (ROWS,)))


class _PartedPlates(Messenger):
    """Gives every device an equal part of the rows that a plate draws."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        super().__init__()

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] != "plate":
            return
        size, drawn = msg["args"][0], msg["value"]
        if drawn.shape[0] < size and drawn.shape[0] % self._mesh.size == 0:
            msg["value"] = jax.lax.with_sharding_constraint(drawn, NamedSharding(self._mesh, PartitionSpec(ROWS)))
