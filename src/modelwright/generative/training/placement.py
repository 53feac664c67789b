"""Where arrays lie when there are several devices: parameters and data on each, batches shared out."""

from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from modelwright.generative.protocol import Batch

T = TypeVar("T")


@dataclass(frozen=True)
class Placement:
    """Arrays over devices.

    Args:
        mesh: The devices in a row; None for one.
        note: What a person should know of devices that stand idle; empty where none does.
    """

    mesh: Mesh | None
    note: str = ""

    @property
    def n_devices(self) -> int:
        """Devices that batches are shared out over."""
        return 1 if self.mesh is None else self.mesh.size

    def on_devices(self, tree: T) -> T:
        """A tree's arrays on every device."""
        if self.mesh is None:
            return jax.tree.map(jax.numpy.asarray, tree)
        whole = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: jax.device_put(leaf, whole), tree)

    def place(self, batch: Batch) -> Batch:
        """A batch shared out over the devices; called while tracing."""
        if self.mesh is None:
            return batch
        along = NamedSharding(self.mesh, PartitionSpec("batch"))
        return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, along), batch)

    def whole(self, tree: T) -> T:
        """A tree's arrays on the first device."""
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda leaf: jax.device_put(leaf, jax.local_devices()[0]), tree)


def placement_of(batch_size: int) -> Placement:
    """Over as many local devices as divide the batch; where that leaves some idle, a note says so.

    Example:
        >>> Placement(None).place(Batch(np.zeros((4, 2)))).x.shape
        (4, 2)
    """
    devices = jax.local_devices()
    count = max(k for k in range(1, len(devices) + 1) if batch_size % k == 0)
    note = ""
    if count < len(devices):
        note = (
            f"training on {count} of {len(devices)} devices: batches of {batch_size} examples do not divide into more; "
            f"a batch_size that is a multiple of {len(devices)} uses all"
        )
    return Placement(Mesh(np.array(devices[:count]), ("batch",)) if count > 1 else None, note)
