"""Images of whole numbers: as they are, as zeros and ones, or as real numbers with the gaps filled."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, Self, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.values import to_float, to_integer
from modelwright.generative.log_prob import Kind
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.modalities.codec import AbstractCodec
from modelwright.modalities.options import check_taken, one_of, read_option, whole_numbers

MISSING = -1
"""In a decoded image, for NaN: whole numbers have none, and cast to them it would be 0, which is black."""

SMALLEST_EDGE = 1e-7
"""Less than this below 1 is 1 in single precision, and its logit is infinite."""

_TAKEN = {"levels": "the levels themselves", "binary": "zeros and ones", "real": "real numbers"}


@final
@dataclass(frozen=True)
class ImageCodec(AbstractCodec):
    """Images of whole numbers from 0 to levels - 1, height x width x channels.

    What a model takes decides what is done:

        whole numbers of as many levels     nothing
        zeros and ones                      1 from half of the levels on, or with probability x / (levels - 1)
        real numbers                        y = (x + u) / levels, u uniform on [0, 1); then z = logit(a + (1 - 2a) y)

    With the gaps filled, log p(z) plus the log-determinant is on average a lower bound of the log probability of the
    image (Theis et al.); the log-determinant of an image is that of the whole way, so that bits per dimension follow.

    Args:
        levels: Values that a number can take.
        binarize: "threshold" or "sample", for models of zeros and ones.
        edge: a, which keeps the logit finite; at least 1e-7; 0 leaves y as it is, between 0 and 1.
        layout: Of the raw data: "channels_last", or "channels_first", which `prepare` turns, and `Trainer.fit` by it.
        shape: Of an example inside, height x width x channels; taken from the model, and refused when it is another.
        takes: What the model takes: "levels", "binary" or "real"; taken from the model likewise.

    Source: L. Theis, A. van den Oord, M. Bethge (2016), https://arxiv.org/abs/1511.01844; L. Dinh, J. Sohl-Dickstein,
    S. Bengio (2017), https://arxiv.org/abs/1605.08803.
    """

    name: ClassVar[str] = "image"
    families: ClassVar[frozenset[str]] = frozenset({"vae", "flow", "autoregressive", "gan", "diffusion", "ebm"})

    levels: int = 256
    binarize: Literal["threshold", "sample"] = "threshold"
    edge: float = 1e-6
    layout: Literal["channels_last", "channels_first"] = "channels_last"
    shape: tuple[int, ...] = ()
    takes: Literal["", "levels", "binary", "real"] = ""

    def __post_init__(self) -> None:
        read = {
            "levels": read_option(
                "levels",
                self.levels,
                to_integer,
                "a whole number from 2 to 65536",
                lambda levels: 2 <= levels <= 65_536,
            ),
            "binarize": _choice("binarize", self.binarize, "threshold", "sample"),
            "edge": read_option(
                "edge",
                self.edge,
                to_float,
                "a number from 0 to below 0.5",
                lambda edge: 0.0 <= edge < 0.5,
            ),
            "layout": _choice("layout", self.layout, "channels_last", "channels_first"),
            "shape": read_option(
                "shape",
                self.shape,
                whole_numbers,
                "a list of whole numbers above 0",
                lambda shape: min(shape, default=1) > 0,
            ),
            "takes": "" if self.takes == "" else _choice("takes", self.takes, "levels", "binary", "real"),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def fitted(self, model: AbstractGenerativeModel) -> Self:
        """The codec for what a model takes."""
        if model.levels is None:
            takes: Literal["levels", "binary", "real"] = "real"
        elif model.levels == self.levels:
            takes = "levels"
        elif model.levels == 2:
            takes = "binary"
        else:
            raise ConfigurationError(
                "images and model differ in how many values a number can take",
                field="levels",
                expected=f"{self.levels}, 2 or real numbers in the model",
                got=model.levels,
            )
        # A codec that knows its shape was fitted before: models of smaller edges were made once, and are stored.
        if 0.0 < self.edge < SMALLEST_EDGE and not self.shape:
            raise ConfigurationError(
                "so small an edge is none in single precision: the logit of white would be infinite",
                field="edge",
                expected=f"0, or a number from {SMALLEST_EDGE:g} to below 0.5",
                got=self.edge,
            )
        if not (self.shape and self.takes):  # one that knows both was fitted before, and may be stored
            self._check_read(takes)
        check_taken("shape", self.shape, tuple(model.example_shape))
        check_taken("takes", self.takes, takes)
        return replace(self, shape=tuple(model.example_shape), takes=takes)

    def _check_read(self, takes: str) -> None:
        for field, reader in (("edge", "real"), ("binarize", "binary")):
            if takes != reader and getattr(self, field) != getattr(ImageCodec, field):
                raise ConfigurationError(
                    f"read by nobody: the model takes {_TAKEN[takes]}",
                    field=field,
                    expected=f"only with a model that takes {_TAKEN[reader]}",
                    got=getattr(self, field),
                    todo=f"leave {field} out",
                )

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height x width x channels (or a vector)."""
        return self.shape

    @property
    def levels_of_data(self) -> int:
        """The levels."""
        return self.levels

    def prepare(self, raw: Any) -> np.ndarray:
        """Images as an array of whole numbers, shape (n, *example_shape); what was prepared stays as it is.

        Where both layouts have one shape (three channels of 3 x 3 pixels), the images are taken for raw.
        """
        try:
            x = np.asarray(raw)
        except ValueError:  # rows of unequal length
            raise DataError("images of unequal shapes", field="data", expected="an array of numbers") from None
        if x.ndim == len(self.shape) and self.shape[-1:] == (1,) and x.shape[1:] == self.shape[:-1]:
            x = x[..., None]  # grey images without an axis of channels
        first = x.ndim == 4 and np.moveaxis(x, 1, -1).shape[1:] == self.shape
        if self.layout == "channels_first" and (first or (x.ndim == 4 and len(self.shape) == 1)):
            x = np.moveaxis(x, 1, -1)
        if x.ndim > 2 and len(self.shape) == 1 and int(np.prod(x.shape[1:])) == self.shape[0]:
            x = x.reshape(len(x), *self.shape)
        if x.shape[1:] != self.shape:
            wanted = f"({', '.join(map(str, ('n', *self.shape)))})"
            todo = 'make the codec with layout="channels_first"' if first else None
            raise DataError("images of another shape", field="data", expected=wanted, got=x.shape, todo=todo)
        if x.dtype.kind == "f" and not (x == np.round(x)).all():
            raise DataError(
                "images of fractions",
                field="data",
                expected=f"whole numbers from 0 to {self.levels - 1}",
                got=f"numbers such as {float(x.reshape(-1)[np.argmax(x.reshape(-1) % 1 != 0)]):.4g}",
                todo="give the images as they were before scaling",
            )
        if x.dtype.kind not in "buif" or (x.size and (x.min() < 0 or x.max() >= self.levels)):
            raise DataError(
                "numbers outside of the levels",
                field="data",
                expected=f"whole numbers from 0 to {self.levels - 1}",
                got=f"{x.min()} to {x.max()}" if x.dtype.kind in "buif" and x.size else str(x.dtype),
            )
        # Black images are images; of three levels, 1 is half of white.
        if self.levels > 3 and len(x) > 1 and x.max() == 1:
            raise DataError(
                "nothing but zeros and ones: nearly black images",
                field="data",
                expected=f"whole numbers up to {self.levels - 1}",
                got=f"{x.min()} to {x.max()}",
                todo=f"multiply them by {self.levels - 1}, or make the codec with levels=2",
            )
        return x.astype(np.uint8 if self.levels <= 256 else np.int32)

    def present(self, x: np.ndarray) -> np.ndarray:
        """Images in the layout of the raw data.

        Raises:
            DataError: a number is missing, as in what a model draws that has diverged: it would look like black.
        """
        x = np.asarray(x)
        missing = int((x < 0).sum() + (x != x).sum())
        if missing:
            raise DataError(
                f"{missing} numbers of images are missing",
                field="x",
                expected=f"whole numbers from 0 to {self.levels - 1}",
                todo="if a model drew them, it has diverged: train it with a smaller learning_rate, or clip",
            )
        return np.moveaxis(x, -1, 1) if self.layout == "channels_first" and x.ndim == 4 else x

    def encode(self, x: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, " n"]]:
        """What the model takes, and the log-determinant."""
        x, nothing = self.only_known(x)
        match self.takes:
            case "levels" | "":
                return x.astype(jnp.int32), nothing
            case "binary":
                if self.binarize == "threshold":
                    return (2 * x.astype(jnp.int32) >= self.levels).astype(jnp.float32), nothing
                share = x.astype(jnp.float32) / (self.levels - 1)
                return jax.random.bernoulli(key, share).astype(jnp.float32), nothing
        y = (x.astype(jnp.float32) + jax.random.uniform(key, x.shape)) / self.levels
        size = int(np.prod(x.shape[1:]))
        log_det = nothing - size * float(np.log(self.levels))
        if self.edge == 0.0:
            return y, log_det
        inside = self.edge + (1.0 - 2.0 * self.edge) * y
        each = -jnp.log(inside) - jnp.log1p(-inside) + float(np.log1p(-2.0 * self.edge))
        return jnp.log(inside) - jnp.log1p(-inside), log_det + each.reshape(len(x), -1).sum(-1)

    def decode(self, z: Array) -> Array:
        """Images of what the model gives: whole numbers from 0 to levels - 1; -1 for what is no number."""
        return jnp.where(jnp.isnan(z), MISSING, self._decoded(z))

    def _decoded(self, z: Array) -> Array:
        match self.takes:
            case "levels" | "":
                return jnp.round(z).astype(jnp.int32)  # a mean lies between two of them
            case "binary":
                return jnp.round(z * (self.levels - 1)).astype(jnp.int32)
        y = z if self.edge == 0.0 else (jax.nn.sigmoid(z) - self.edge) / (1.0 - 2.0 * self.edge)
        return jnp.clip(jnp.floor(y * self.levels), 0, self.levels - 1).astype(jnp.int32)

    def kind_of(self, kind: Kind) -> Kind:
        """With the gaps filled, an exact density is a bound of the image's log probability.

        So it is with black and white that is drawn: of the probability that what is drawn and the model agree.
        """
        by_chance = self.takes == "real" or (self.takes == "binary" and self.binarize == "sample")
        return "bound" if by_chance and kind == "exact" else kind

    @property
    def probability_of(self) -> str:
        """Of an image in black and white, where the raw one has more levels."""
        if self.takes != "binary" or self.levels == 2:
            return ""
        drawn = "drawn by its greys" if self.binarize == "sample" else "split at half of the levels"
        return f"the image in black and white, {drawn}"

    def to_document(self) -> dict[str, Any]:
        """All that it takes to make it again."""
        return {"name": self.name, **asdict(self), "shape": list(self.shape)}


def _choice(name: str, value: Any, *choices: str) -> Any:
    return read_option(name, value, one_of(*choices), "one of " + ", ".join(choices))
