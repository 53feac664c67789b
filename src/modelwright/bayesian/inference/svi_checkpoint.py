"""Checkpoints of a fit, from which it goes on with the same bits as if it had never stopped.

One file holds the state of the loop, the ELBO so far and a fingerprint of the compiled program, the data and the
settings. It is written beside the old one and put in its place in one step: killed at any moment, a fit leaves the old
checkpoint or the new one. What does not belong to the same fit is refused, not mixed.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import numpy as np

from modelwright.bayesian.inference.svi_course import Course
from modelwright.bayesian.inference.svi_settings import SviSettings, check_period
from modelwright.bayesian.inference.svi_steps import Steps, SviState
from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.core.files import json_text, write_bytes

FILE = "svi.npz"


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a fit writes what it needs to go on.

    A fit that is given a folder with a checkpoint of the same fit goes on from there.

    Args:
        folder: Where the file lies.
        every_steps: Steps between two checkpoints, at least; None for no such count.
        every_seconds: Seconds between two checkpoints, at least; None for no such time. One is written at the end and
            at an interrupt in any case.

    Example:
        >>> Checkpoints("run", every_steps=0)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: every_steps: not usable; expected a number above 0, got 0
    """

    folder: Path | str
    every_steps: int | None = None
    every_seconds: float | None = 60.0

    def __post_init__(self) -> None:
        check_period("every_steps", self.every_steps)
        check_period("every_seconds", self.every_seconds)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.folder) / FILE


class Keeper:
    """Writes the checkpoints of one fit when their time has come, and reads the last one.

    Args:
        checkpoints: Where and how often; None for never.
        fingerprint: What a checkpoint must have been written under.
    """

    def __init__(self, checkpoints: Checkpoints | None, fingerprint: str) -> None:
        self._asked = checkpoints
        self._fingerprint = fingerprint
        self._last_step = 0
        self._last_time = time.monotonic()

    def offer(self, state: SviState, course: Course) -> None:
        """Write a checkpoint if it is time for one, or if the fit is over."""
        asked = self._asked
        if asked is None:
            return
        by_steps = asked.every_steps is not None and course.done - self._last_step >= asked.every_steps
        by_time = asked.every_seconds is not None and time.monotonic() - self._last_time >= asked.every_seconds
        if by_steps or by_time or course.is_over:
            write_checkpoint(asked.path, state, course, self._fingerprint)
            self._last_step, self._last_time = course.done, time.monotonic()

    def resume(self, state: SviState, course: Course) -> SviState:
        """The state of the last checkpoint, `course` brought to it; the state given where there is no checkpoint."""
        if self._asked is None or not self._asked.path.exists():
            return state
        resumed = read_checkpoint(self._asked.path, state, course, self._fingerprint)
        self._last_step = course.done
        return resumed


def fingerprint_of(steps: Steps, seed: int, total: int, settings: SviSettings) -> str:
    """What two runs share when their bits agree: program, data, seed and settings.

    The program is the compiler's input, which holds model, guide, optimizer and objective and says nothing of names
    or files.
    """
    digest = hashlib.sha256(steps.program.encode())
    for array in steps.arrays:
        host = np.ascontiguousarray(array)
        digest.update(f"{host.dtype}{host.shape}".encode())
        digest.update(host.data)
    digest.update(json_text({"seed": seed, "steps": total, **asdict(settings)}).encode())
    return digest.hexdigest()


def write_checkpoint(path: Path, state: SviState, course: Course, fingerprint: str) -> None:
    """Write one checkpoint, whole or not at all."""
    document = {"fingerprint": fingerprint, **course.as_document()}
    leaves = {f"leaf_{k}": _plain(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    buffer = BytesIO()
    text = np.frombuffer(json_text(document).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, document=text, elbo=course.elbo, **leaves)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path, like: SviState, course: Course, fingerprint: str) -> SviState:
    """Read a checkpoint back.

    Args:
        path: The file.
        like: A state of the same fit, for its structure.
        course: Brought to where the checkpoint was written.
        fingerprint: What the fit at hand has.

    Raises:
        ConfigurationError: the checkpoint is of another fit. StorageError: the file is damaged.
    """
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        document = json.loads(arrays["document"].tobytes().decode())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise StorageError(f"cannot read the checkpoint {path}: {error}", todo="remove it and fit anew") from error
    if document["fingerprint"] != fingerprint:
        raise ConfigurationError(
            "holds a checkpoint of another fit",
            field="checkpoints",
            expected="the same model, guide, data, settings, seed and versions of the libraries",
            got=str(path),
            todo="choose another folder, or remove the file to begin anew",
        )
    leaves, structure = jax.tree.flatten(like)
    found = [_like(leaf, arrays[f"leaf_{k}"]) for k, leaf in enumerate(leaves)]
    course.restore(arrays["elbo"], document)
    restored: SviState = jax.tree.unflatten(structure, found)
    return restored


def _plain(leaf: Any) -> np.ndarray:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _like(leaf: Any, stored: np.ndarray) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        value = jax.random.wrap_key_data(stored, impl=jax.random.key_impl(leaf))
    else:
        value = stored.astype(leaf.dtype, casting="no")
    return jax.device_put(value, leaf.sharding)
