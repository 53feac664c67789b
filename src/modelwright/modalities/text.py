"""Text: its characters or bytes as whole numbers, by a vocabulary that is kept with the model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import ConfigurationError, DataError, came
from modelwright.core.values import to_integer
from modelwright.generative.log_prob import Kind
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.modalities.codec import AbstractCodec
from modelwright.modalities.options import check_taken, read_option

BYTES = 256

_BYTE = {k: bytes([k]) for k in range(BYTES)}
_MARK = "\ufffd".encode()


def _half_of_a_pair(text: str) -> int | None:
    """Where the first lone surrogate stands, as reading with errors="surrogateescape" leaves them."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


@final
@dataclass(frozen=True)
class TextCodec(AbstractCodec):
    """A text as numbers of its characters, in the order of an alphabet, or of its UTF-8 bytes.

    The alphabet is written out: the same in every process, and kept with the model.

    Args:
        alphabet: The characters, each once; empty for bytes.
        length: Symbols of one example; taken from the model, and refused when it is another.

    Example:
        >>> codec = TextCodec.of("to be or not to be")
        >>> codec.alphabet, codec.prepare("bent").tolist(), codec.present(np.array([[1, 2, 3]]))
        (' benort', [1, 2, 3, 6], ['ben'])
    """

    name: ClassVar[str] = "text"
    families: ClassVar[frozenset[str]] = frozenset({"autoregressive"})

    alphabet: str = ""
    length: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.alphabet, str):
            raise ConfigurationError(
                "not text",
                field="alphabet",
                expected="the characters, each once; empty for bytes",
                got=came(self.alphabet, "nothing"),
                todo="write digits in quotes",
            )
        length = read_option("length", self.length, to_integer, "a whole number", lambda length: length >= 0)
        object.__setattr__(self, "length", length)
        twice = next((c for k, c in enumerate(self.alphabet) if c in self.alphabet[:k]), None)
        if twice is not None:
            raise ConfigurationError(
                f"the character {twice!r} stands twice", field="alphabet", expected="each character once"
            )
        half = _half_of_a_pair(self.alphabet)
        if half is not None:
            raise ConfigurationError(
                f"{self.alphabet[half]!r} is half of a surrogate pair", field="alphabet", expected="whole characters"
            )

    @classmethod
    def of(cls, text: str) -> "TextCodec":
        """The codec of the characters that a text has, in the order of their code points.

        Raises:
            DataError: it has none, or is no text. ConfigurationError: not all are whole characters.
        """
        if not isinstance(text, str) or not text:
            raise DataError(
                "no characters to make an alphabet of",
                field="text",
                expected="a text",
                got=text,
                todo="TextCodec() is that of bytes, for any text",
            )
        return cls("".join(sorted(set(text))))

    @property
    def vocabulary(self) -> int:
        """How many symbols there are."""
        return len(self.alphabet) or BYTES

    def fitted(self, model: AbstractGenerativeModel) -> Self:
        """The codec for the length of a model's examples."""
        if len(model.example_shape) != 1 or model.levels is None:
            raise ConfigurationError(
                "the model takes no sequences of symbols",
                field="input_dim",
                expected="one length",
                got=model.example_shape,
            )
        if model.levels < self.vocabulary:
            raise ConfigurationError(
                "the model knows fewer symbols than the text has",
                field="parameters.vocabulary",
                expected=f"at least {self.vocabulary}",
                got=model.levels,
                todo=f"set vocabulary to {self.vocabulary}",
            )
        # A codec that has its length was fitted before: models of more symbols were made once, and are stored.
        if model.levels > self.vocabulary and not self.length:
            raise ConfigurationError(
                "the model knows more symbols than the text has, and would write them",
                field="parameters.vocabulary",
                expected=str(self.vocabulary),
                got=model.levels,
                todo=f"set vocabulary to {self.vocabulary}",
            )
        check_taken("length", self.length, model.example_shape[0])
        return replace(self, length=model.example_shape[0])

    @property
    def example_shape(self) -> tuple[int, ...]:
        """One length."""
        return (self.length,)

    @property
    def levels_of_data(self) -> int:
        """The symbols."""
        return self.vocabulary

    def prepare(self, raw: Any) -> np.ndarray:
        """One text as its symbols, shape (n,); texts of the model's length as rows, shape (n, length).

        An array of symbols stays as it is.
        """
        if isinstance(raw, str):
            return self._symbols(raw)
        if isinstance(raw, np.ndarray | jax.Array) and raw.dtype.kind in "buif":
            return np.asarray(raw)
        if not isinstance(raw, Sequence) or not all(isinstance(each, str) for each in raw):
            raise DataError("no text", field="data", expected="a text, or a list of texts", got=type(raw).__name__)
        rows = [self._symbols(each) for each in raw]
        wrong = next((row for row in rows if len(row) != self.length), None)
        if wrong is not None:
            raise DataError(
                "a text of another length than the model's",
                field="data",
                expected=f"{self.length} symbols in each",
                got=len(wrong),
                todo="give one long text, of which windows are taken",
            )
        return np.stack(rows) if rows else np.zeros((0, self.length), np.int32)

    def beginnings(self, raw: Any) -> np.ndarray:
        """What texts are to begin with: one text, or several with as many symbols each, as rows of symbols."""
        texts = [raw] if isinstance(raw, str) else raw
        if not isinstance(texts, Sequence) or not texts or not all(isinstance(each, str) for each in texts):
            raise DataError("no text", field="prompt", expected="a text, or a list of texts", got=type(raw).__name__)
        rows = [self._symbols(each) for each in texts]
        wrong = next((row for row in rows if len(row) != len(rows[0])), None)
        if wrong is not None:
            raise DataError(
                "texts of unequal lengths",
                field="prompt",
                expected=f"{len(rows[0])} symbols in each, as in the first",
                got=len(wrong),
                todo="continue them one by one",
            )
        return np.stack(rows)

    def present(self, x: np.ndarray) -> list[str]:
        """Rows of symbols as texts; bytes that are no UTF-8, and numbers that are no symbol, show as a mark."""
        rows = np.atleast_2d(np.asarray(x))
        if rows.dtype.kind == "f":
            rows = np.where(np.isin(rows, np.arange(self.vocabulary)), rows, -1).astype(np.int32)
        if not self.alphabet:
            return [b"".join(_BYTE.get(int(k), _MARK) for k in row).decode("utf-8", "replace") for row in rows]
        return ["".join(self.alphabet[k] if 0 <= k < len(self.alphabet) else "\ufffd" for k in row) for row in rows]

    def encode(self, x: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, " n"]]:
        """The symbols as they are."""
        x, nothing = self.only_known(x)
        return x.astype(jnp.int32), nothing

    def decode(self, z: Array) -> Array:
        """The symbols as they are."""
        return z.astype(jnp.int32)

    def kind_of(self, kind: Kind) -> Kind:
        """As the model has it."""
        return kind

    def to_document(self) -> dict[str, Any]:
        """All that it takes to make it again."""
        return {"name": self.name, **asdict(self)}

    def _symbols(self, text: str) -> np.ndarray:
        if not self.alphabet:
            half = _half_of_a_pair(text)
            if half is not None:
                raise DataError(
                    f"the character {text[half]!r} at place {half} is half of a surrogate pair, which has no bytes",
                    field="data",
                    expected="whole characters",
                    todo="read the text as what it was written in, or with errors='replace'",
                )
            return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        order = np.array([ord(character) for character in self.alphabet])
        rank = np.argsort(order)
        place = np.minimum(np.searchsorted(order[rank], points), len(order) - 1)
        found = rank[place]
        unknown = np.flatnonzero(order[found] != points)
        if len(unknown):
            odd = text[int(unknown[0])]
            raise DataError(
                f"the character {odd!r} at place {int(unknown[0])} is not in the vocabulary",
                field="data",
                expected=f"the {len(self.alphabet)} characters that the model was made with",
                todo="leave it out, or make a model of bytes",
            )
        return found.astype(np.int32)
