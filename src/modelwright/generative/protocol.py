"""What every generative model is: losses to train it by, and the questions it answers.

    loss(batch, *, key, step) -> Loss               what is made small, and figures worth watching
    sample(n, *, key, cond=None) -> array           examples in data space
    log_prob(x, *, key=None, cond=None) -> LogProb  nats per example, and what kind of number that is
    encode(x, *, key=None), decode(z, *, key=None)  where the model has a latent
    objectives() -> tuple[Objective, ...]           which loss moves which parameters, how often

Keys are given, never kept: the same key gives the same answer. `sample` needs one; where another method draws something
and has none, it is key 0. Parameters exist once the model is made. Shapes are static; images are height x width x
channels. All methods can be traced, so that they run under `jax.jit`, `jax.vmap` and `jax.lax.scan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias, final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import CapabilityError
from modelwright.generative.arguments import Check, anything, checked, count, examples, latents
from modelwright.generative.conditioning import Condition
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.parameters import Parameter

__all__ = ["AbstractGenerativeModel", "Batch", "Loss", "Objective"]

OFFERS = ("sample", "log_prob", "encode", "decode", "condition")
"""What a model can be asked; "condition" says that the others take `cond`."""


CHECKED: Mapping[str, Check] = {
    "sample": count,
    "sample_with_log_prob": count,
    "continue_from": anything,
    "log_prob": examples,
    "importance_weighted": examples,
    "encode": examples,
    "decode": latents,
}
"""Method -> what it looks at before it begins, in whatever class it is written."""


@final
class Batch(NamedTuple):
    """Examples to train on.

    Args:
        x: Shape (n, *example).
        cond: What each is conditioned on (labels, or context vectors), shape (n, ...), or None.
    """

    x: Array
    cond: Array | None = None


@final
class Loss(NamedTuple):
    """What a step makes small.

    Args:
        value: A scalar.
        metrics: Name -> scalar, worth watching; nothing is trained by them.
    """

    value: Float[Array, ""]
    metrics: Mapping[str, Array]


LossFunction: TypeAlias = Callable[[Any, Batch, PRNGKeyArray, Array], Loss]


@final
@dataclass(frozen=True)
class Objective:
    """One loss, the parameters that it moves, and how often.

    A step of training walks through the objectives in order. Each has an optimiser of its own and moves its own
    parameters only: a generator's loss leaves the critic as it is.

    Args:
        name: For metrics ("critic").
        loss: (model, batch, key, step) -> `Loss`; may also change variables of the model that are no parameters, such
            as running means, codebooks kept as moving averages, replay buffers.
        moves: Which parameters, as a filter of `flax.nnx` (a path, a predicate); all by default.
        repeats: Updates in each step of training, each on a fresh batch.
        every: Steps of training between two turns.
    """

    name: str
    loss: LossFunction
    moves: Any = field(default=nnx.Param)
    repeats: int = 1
    every: int = 1


def own_loss(model: "AbstractGenerativeModel", batch: Batch, key: PRNGKeyArray, step: Array) -> Loss:
    """The loss function of models with one loss: `model.loss`."""
    return model.loss(batch, key=key, step=step)


@final
class Offered:
    """What a class says that it offers; of a model that is conditioned on nothing, "condition" is no part of it.

    Args:
        names: Which of `OFFERS`.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def __get__(self, model: "AbstractGenerativeModel | None", owner: type) -> frozenset[str]:
        """The names of the class, or of one model of it."""
        return self.names if model is None or model.condition.width else self.names - {"condition"}


class AbstractGenerativeModel(nnx.Module):
    """A model of the seven families; the classes that fill it in are final.

    The methods named in `CHECKED` refuse arguments of another type or shape before they begin, in every class.

    Attributes:
        family: "vae", "flow", "autoregressive", and those to come.
        declared: The settings under `parameters` that the class takes.
        offers: Which of `OFFERS` it answers. The methods of the others refuse, naming those that it has. A class that
            can be conditioned says "condition"; a model of it that is conditioned on nothing does not offer it.
        log_prob_kind: What `log_prob` gives; None where it is not offered.
        example_shape: Shape of one example.
        levels: How many values a number of an example can take (0 to levels - 1); None for real numbers.
        condition: What it is conditioned on.
        latent_shape: Shape of one latent, as `encode` gives it and `decode` takes it; None where there is none, or any
            will do.
        latent_levels: How many codes a number of a latent can be; None for real numbers.
        latent_dim: Numbers of one vector of a latent (output_dim, where a configuration has it); None where there is
            no latent.
        remedy: Which of its own settings to change where its answers are no numbers, in words; None where only training
            can help.
        recipe: What the factory made it from, as JSON, so that it can be made again; None where it was made by hand.
        begun: Whether its parameters are more than a random start: what `begin` sets is then left alone. Training sets
            it, and it is stored with the model; say so where parameters are put into a model by hand.
    """

    family: ClassVar[str]
    declared: ClassVar[tuple[Parameter, ...]] = ()
    offers: ClassVar[frozenset[str]] = frozenset()
    log_prob_kind: ClassVar[Kind | None] = None

    example_shape: tuple[int, ...]
    levels: int | None = None
    condition: Condition = Condition()
    latent_shape: tuple[int, ...] | None = None
    latent_levels: int | None = None
    latent_dim: int | None = None
    remedy: str | None = None
    recipe: str | None = None
    begun: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Let every method of a class look at what it is asked with, and its offers at the model, once for all."""
        super().__init_subclass__(**options)
        if "offers" in vars(cls):
            setattr(cls, "offers", Offered(frozenset(cls.offers)))  # noqa: B010 (a descriptor, which its type is not)
        for name, check in CHECKED.items():
            if name in vars(cls):
                setattr(cls, name, checked(vars(cls)[name], check))

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """What training makes small, averaged over a batch, for models with one loss.

        Args:
            batch: Examples, shape (n, *example_shape).
            key: Of whatever is random in the loss.
            step: Steps of training made so far, an integer scalar.
        """
        raise lacking(self, "loss")

    def held_out_loss(self, batch: Batch, *, key: PRNGKeyArray) -> Loss:
        """How well the model does on examples that it was not trained on, nats per example: smaller is better.

        The negative log probability where that is exact, the loss elsewhere. Models with a weighted loss, or with units
        left out while training, give their own.

        Args:
            batch: Examples, shape (n, *example_shape).
            key: Of whatever is random in it.
        """
        if self.log_prob_kind == "exact":
            return Loss(-self.log_prob(batch.x, key=key, cond=batch.cond).mean(), {})
        return self.loss(batch, key=key, step=jnp.asarray(jnp.iinfo(jnp.int32).max, jnp.int32))

    def objectives(self) -> tuple[Objective, ...]:
        """The losses in the order of their turns; one that moves every parameter by default."""
        return (Objective("loss", own_loss),)

    def prepared(self, raw: Any) -> Any:
        """Raw data as an array of examples (one long text: of its symbols), on the host; as they are by default.

        Args:
            raw: What a person trains the model on.

        Raises:
            DataError: they are not of the model's modality.
        """
        return raw

    def check(self, batch: Batch) -> None:
        """Refuse examples that the model cannot be trained on; nothing by default. Every training asks.

        Args:
            batch: Some hundred examples.

        Raises:
            ConfigurationError: naming a number that has no probability.
        """

    def begin(self, batch: Batch, *, key: PRNGKeyArray) -> None:
        """Set what depends on the data before the first step, in place; nothing by default.

        Called once for each model: parameters that were trained would be lost by it.

        Args:
            batch: Some hundred examples.
            key: Of whatever is random in it.
        """

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples drawn from the model, shape (n, *example_shape).

        Args:
            n: How many.
            key: The same key gives the same examples.
            cond: What each is conditioned on, shape (n, ...), for models that offer it.
        """
        raise lacking(self, "sample")

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """Log probability (of discrete data) or log density of each example, nats, shape (n,).

        Args:
            x: Examples, shape (n, *example_shape).
            key: For bounds that draw; exact models ignore it.
            cond: What each is conditioned on.
        """
        raise lacking(self, "log_prob")

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The latent of each example, shape (n, ...); its mean without a key, a draw with one."""
        raise lacking(self, "encode")

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The example of each latent, shape (n, *example_shape); its mean without a key, a draw with one."""
        raise lacking(self, "decode")


def lacking(model: AbstractGenerativeModel, asked: str) -> CapabilityError:
    """The error for what a model does not offer: names what it does.

    Args:
        model: The model.
        asked: The method.
    """
    offered = ", ".join(name for name in OFFERS if name in model.offers) or "nothing"
    return CapabilityError(
        f"{type(model).__name__} has no {asked}", todo=f"it offers {offered}; choose a model that offers {asked}"
    )


def count_parameters(model: nnx.Module) -> int:
    """Numbers that training moves."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
