"""Named models on which the laws run; each family adds its own in a table of its own file."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.protocol import AbstractGenerativeModel, Batch
from modelwright.generative.training import Trainer, TrainingSettings
from modelwright.modalities import AbstractCodec


@dataclass(frozen=True)
class Instance:
    """A small model and examples of the kind it is made for.

    Args:
        configuration: What to build.
        batch: Examples, from a generator.
        modality: What the raw data are, where a codec stands before the model.
    """

    configuration: ModelConfiguration
    batch: Callable[[np.random.Generator], Batch]
    modality: "str | AbstractCodec | None" = None

    def outline(self) -> AbstractGenerativeModel:
        """The model; may be traced, so that no number of it is made."""
        return create_model(self.configuration, rngs=0, modality=self.modality)

    def made(self, weights: str = "fresh") -> tuple[AbstractGenerativeModel, Batch]:
        """The model and some examples.

        Args:
            weights: "fresh"; "perturbed": normal numbers of standard deviation 0.3 added to every parameter, so that
                nothing is at a special value (zeros, identities) any more; "trained": after forty steps.
        """
        model = self.outline()
        batch = self.batch(np.random.default_rng(0))
        if weights == "trained":
            settings = TrainingSettings(batch_size=8, learning_rate=0.01)
            return Trainer(model, settings).fit((batch.x, batch.cond), steps=40).model, batch
        model.begin(batch, key=jax.random.key(2))
        if weights == "perturbed":
            params = nnx.state(model, nnx.Param)
            leaves, tree = jax.tree.flatten(params)
            generator = np.random.default_rng(1)  # drawn by NumPy: JAX would compile a program for every shape
            moved = [leaf + (0.3 * generator.standard_normal(leaf.shape)).astype(leaf.dtype) for leaf in leaves]
            nnx.update(model, jax.tree.unflatten(tree, moved))
        return model, batch


def configuration(model_class: str, input_dim: object, **fields: object) -> ModelConfiguration:
    """A configuration by the class's dotted name below modelwright.generative."""
    name = f"modelwright.generative.{model_class}"
    return ModelConfiguration(name=model_class, model_class=name, input_dim=input_dim, **fields)


def binary(shape: tuple[int, ...], n: int = 16, classes: int = 0) -> Callable[[np.random.Generator], Batch]:
    """Examples of zeros and ones, with labels where there are classes."""

    def make(generator: np.random.Generator) -> Batch:
        x = (generator.random((n, *shape)) < 0.4).astype(np.float32)
        return Batch(jnp.asarray(x), jnp.asarray(generator.integers(0, classes, n)) if classes else None)

    return make


def real(shape: tuple[int, ...], n: int = 16, context: int = 0) -> Callable[[np.random.Generator], Batch]:
    """Standard normal examples, with context vectors where they have a length."""

    def make(generator: np.random.Generator) -> Batch:
        x = generator.standard_normal((n, *shape)).astype(np.float32)
        cond = generator.standard_normal((n, context)).astype(np.float32) if context else None
        return Batch(jnp.asarray(x), None if cond is None else jnp.asarray(cond))

    return make


def tokens(length: int, vocabulary: int, n: int = 16) -> Callable[[np.random.Generator], Batch]:
    """Sequences of whole numbers."""
    return lambda generator: Batch(jnp.asarray(generator.integers(0, vocabulary, (n, length))))
