"""A model with a codec before it: examples as the data have them, log probabilities in their units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, final

import jax
from flax import nnx
from jaxtyping import Array, PRNGKeyArray

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import CapabilityError, ConfigurationError
from modelwright.generative.autoregressive.model import Continuing
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss, Objective, own_loss
from modelwright.modalities.codec import AbstractCodec
from modelwright.modalities.table import MODALITIES, codec_from_document
from modelwright.modalities.text import TextCodec


@final
class AdaptedModel(AbstractGenerativeModel):
    """A model whose examples are those of a modality, with log probabilities in their units.

        log p(raw) = log p(model space) + log-determinant of the codec

    `Trainer.fit` and `continue_from` take raw data. All that may run in compiled code takes and gives arrays that the
    codec has prepared, images as height x width x channels and texts as symbols: `codec.prepare(raw)` makes them, and
    `codec.present(x)` brings them back.

    Args:
        inner: The model.
        codec: Between raw data and what the model takes.
    """

    family = "adapted"

    def __init__(self, inner: AbstractGenerativeModel, codec: AbstractCodec) -> None:
        self.inner = inner
        self.codec = codec.fitted(inner)
        self.family = inner.family
        self.offers = inner.offers
        self.log_prob_kind = None if inner.log_prob_kind is None else self.codec.kind_of(inner.log_prob_kind)
        self.example_shape = self.codec.example_shape
        self.condition = inner.condition
        self.levels = self.codec.levels_of_data
        self.latent_shape, self.latent_levels = inner.latent_shape, inner.latent_levels
        self.latent_dim, self.remedy = inner.latent_dim, inner.remedy

    @property
    def begun(self) -> bool:
        """Whether the model inside has begun: trained through its codec, it goes on without one, too."""
        return self.inner.begun

    @begun.setter
    def begun(self, begun: bool) -> None:
        self.inner.begun = begun

    def prepared(self, raw: Any) -> Any:
        """Raw data as the codec prepares them."""
        return self.codec.prepare(raw)

    def check(self, batch: Batch) -> None:
        """Let the codec and the model refuse what they cannot be trained on."""
        self.codec.check(batch.x)
        self.inner.check(self._inside(batch, jax.random.key(0))[0])

    def begin(self, batch: Batch, *, key: PRNGKeyArray) -> None:
        """Let the model set what depends on the data."""
        of_codec, of_model = jax.random.split(key)
        self.inner.begin(self._inside(batch, of_codec)[0], key=of_model)

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The model's own loss of coded data, less the mean log-determinant: nats per example of raw data."""
        of_codec, of_model = jax.random.split(key)
        inside, log_det = self._inside(batch, of_codec)
        found = self.inner.loss(inside, key=of_model, step=step)
        return found._replace(value=found.value - log_det.mean())

    def held_out_loss(self, batch: Batch, *, key: PRNGKeyArray) -> Loss:
        """The model's own, less the mean log-determinant: nats per example of raw data."""
        of_codec, of_model = jax.random.split(key)
        inside, log_det = self._inside(batch, of_codec)
        found = self.inner.held_out_loss(inside, key=of_model)
        return found._replace(value=found.value - log_det.mean())

    def objectives(self) -> tuple[Objective, ...]:
        """The model's own, each on coded data and on its own parameters."""
        return tuple(
            Objective(each.name, _Coded(each), _below_inner(each.moves), each.repeats, each.every)
            for each in self.inner.objectives()
        )

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples, shape (n, *example_shape); `codec.present` makes raw data of them."""
        return self.codec.decode(self.inner.sample(n, key=key, cond=cond))

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """Nats per raw example; of images whose gaps are filled, a lower bound (key 0 when none is given).

        Numbers that are not whole, or beyond the levels, have probability 0, as in the model inside.

        Args:
            x: Examples as `codec.prepare` makes them, shape (n, *example_shape).
            key: Of the noise in the gaps, and of the model's own draws.
            cond: What each is conditioned on.
        """
        of_codec, of_model = jax.random.split(jax.random.key(0) if key is None else key)
        z, log_det = self.codec.encode(x, of_codec)
        found = self.inner.log_prob(z, key=of_model, cond=cond)
        return LogProb(found.value + log_det, self.codec.kind_of(found.kind), self.codec.probability_of or found.of)

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The latent of each prepared example; what is none is refused, unless the function is traced."""
        self.codec.check(x)
        of_codec, of_model = (jax.random.key(0), None) if key is None else jax.random.split(key)
        z, _ = self.codec.encode(x, of_codec)
        return self.inner.encode(z, key=of_model, cond=cond)

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The example of each latent; `codec.present` makes raw data of it."""
        return self.codec.decode(self.inner.decode(z, key=key, cond=cond))

    def continue_from(
        self,
        prompt: "str | list[str] | Array",
        n_tokens: int,
        *,
        key: PRNGKeyArray,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        cond: Array | None = None,
    ) -> Array:
        """Raw examples that begin with a prompt, shape (n, given + n_tokens); `codec.present` makes texts of them.

        Args:
            prompt: A text, texts of one length, or symbols as in the data, shape (n, given).
            n_tokens: Symbols that follow.
            key: The same key gives the same symbols.
            temperature: As of the model inside.
            top_k: As of the model inside.
            top_p: As of the model inside.
            cond: What each is conditioned on.

        Raises:
            CapabilityError: the model inside cannot go on from a prompt. DataError: it is no text of the vocabulary.
        """
        if not isinstance(self.inner, Continuing):
            raise CapabilityError(
                f"model.inner, a {type(self.inner).__name__}, has no continue_from",
                todo="choose modelwright.generative.autoregressive.Transformer",
            )
        given: Any = self.codec.beginnings(prompt) if _is_text(prompt, self.codec) else prompt
        choice = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return self.codec.decode(self.inner.continue_from(given, n_tokens, key=key, cond=cond, **choice))

    def sample_with_log_prob(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> NoReturn:
        """Refuses: what is drawn is brought to raw data by rounding, and the density found on the way is of neither."""
        raise CapabilityError(
            f"the log probability of what {type(self.inner).__name__} draws is not that of raw data",
            todo="ask model.inner for sample_with_log_prob, where it has it, or this model for log_prob of its samples",
        )

    def _inside(self, batch: Batch, key: PRNGKeyArray) -> tuple[Batch, Array]:
        z, log_det = self.codec.encode(batch.x, key)
        return Batch(z, batch.cond), log_det


def _is_text(prompt: Any, codec: AbstractCodec) -> bool:
    return isinstance(codec, TextCodec) and isinstance(prompt, str | list | tuple)


@dataclass(frozen=True)
class _Coded:
    """An objective's loss function on coded data, less the mean log-determinant where the loss is a likelihood's."""

    objective: Objective

    def __call__(self, model: AdaptedModel, batch: Batch, key: PRNGKeyArray, step: Array) -> Loss:
        of_codec, of_model = jax.random.split(key)
        inside, log_det = model._inside(batch, of_codec)
        found = self.objective.loss(model.inner, inside, of_model, step)
        if self.objective.loss is not own_loss:
            return found
        return found._replace(value=found.value - log_det.mean())


def _below_inner(moves: Any) -> Any:
    """A filter of the inner model's parameters, for paths that begin with the model inside."""
    wanted = nnx.filterlib.to_predicate(moves)
    return lambda path, value: wanted(path[1:], value)


def adapted(
    model: AbstractGenerativeModel, modality: str | Mapping[str, Any] | AbstractCodec, config: ModelConfiguration
) -> AdaptedModel:
    """The model with the codec of a modality before it.

    Args:
        model: The model.
        modality: A name; a mapping of `name` and the codec's options, as in YAML; or a codec.
        config: What the model was made from, for messages.

    Raises:
        NotFoundError: no modality has this name. ConfigurationError: it does not go with the model.
    """
    codec: Any = {"name": modality} if isinstance(modality, str) else modality
    if isinstance(codec, Mapping) and isinstance(codec.get("name"), str):
        codec = codec_from_document(codec)
    if not isinstance(codec, AbstractCodec):
        raise ConfigurationError(
            "not a modality",
            field="modality",
            expected="a name, a mapping with a name and the codec's options, or a codec",
            got=modality,
            todo=f"known: {', '.join(MODALITIES)}",
        )
    if model.family not in codec.families:
        raise ConfigurationError(
            f"the modality {codec.name} goes with {', '.join(sorted(codec.families))}",
            field="model_class",
            got=config.model_class,
        )
    return AdaptedModel(model, codec)
