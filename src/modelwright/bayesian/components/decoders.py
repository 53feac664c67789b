"""Decoders: a network from a cell's latent vector to named parameters of that cell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.contrib.module import flax_module

from modelwright.bayesian.components.networks import INVERSE_LINKS, LINKS, FeedForward, checked_widths
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

GENES, BATCHES = "n_genes", "n_batches"
SIMPLEX = "simplex"
KINDS = (*LINKS, SIMPLEX)
"""Kinds of outputs; a simplex is over genes and adds up to 1."""

Decoding = Callable[[Any, Any], dict[str, Any]]
"""Takes z (n, latent_dim) and the batch of each cell (n,) or None; returns output -> value, cells first."""


@dataclass(frozen=True)
class Decoder:
    """A network from a latent vector to named parameters of each cell.

    Args:
        hidden_dims: Width of each hidden layer.
        outputs: Name -> kind: "real", "positive" (softplus), "unit_interval" (logistic) or "simplex" (softmax over
            genes), one number per gene; or name -> (kind, dims) with dims ("n_genes",) or (), one number per cell.
        batch_covariate: Whether the network is told the batch of each cell (one-hot, beside z), so that z need not.
        layer_norm: Whether hidden layers are normalised, each cell by itself.

    Raises:
        ConfigurationError: an unknown kind, other axes, or a simplex without genes.

    Example:
        >>> decoder = Decoder((64,), {"mu": "positive", "p": ("unit_interval", ())})
        >>> decoder.outputs_over_genes()
        {'mu': True, 'p': False}
    """

    hidden_dims: tuple[int, ...]
    outputs: Mapping[str, str | tuple[str, tuple[str, ...]]]
    batch_covariate: bool = False
    layer_norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_dims", checked_widths("hidden_dims", self.hidden_dims))
        if not isinstance(self.outputs, Mapping) or not self.outputs:
            raise ConfigurationError(
                "not usable", field="outputs", expected='names and kinds such as {"mu": "positive"}', got=self.outputs
            )
        object.__setattr__(self, "outputs", {name: _checked(name, given) for name, given in self.outputs.items()})

    def outputs_over_genes(self) -> dict[str, bool]:
        """Name of each output -> whether it has a number per gene."""
        return {name: dims == (GENES,) for name, (_, dims) in self.outputs.items()}

    def register(
        self, name: str, latent_dim: int, sizes: Mapping[str, int], starts: Mapping[str, Any] | None = None
    ) -> Decoding:
        """Register the network with NumPyro, once and outside of all plates.

        Args:
            name: The network's name; its weights are the parameter `{name}$params`.
            latent_dim: Numbers in z.
            sizes: Length of every axis.
            starts: Output -> value at which it begins, a number or shape (n_genes,).

        Returns:
            What turns z into the parameters of cells.
        """
        n_batches = self._n_batches(sizes)
        over_genes = self.outputs_over_genes()
        heads = tuple((output, sizes[GENES] if over_genes[output] else 1) for output in self.outputs)
        network = FeedForward(self.hidden_dims, heads, biases=self._biases(starts or {}), layer_norm=self.layer_norm)
        bound = flax_module(name, network, input_shape=(1, latent_dim + n_batches))

        def decoding(z: Any, batch: Any = None) -> dict[str, Any]:
            inputs = z
            if n_batches:
                if batch is None:
                    raise ConfigurationError(
                        "the decoder is told each cell's batch, and the batches are not known",
                        field=name,
                        todo="give counts with batches: observe(counts, batch=...)",
                    )
                inputs = jnp.concatenate([z, jax.nn.one_hot(batch, n_batches, dtype=z.dtype)], axis=-1)
            raw = bound(inputs)
            found = {}
            for output, (kind, _) in self.outputs.items():
                value = jax.nn.softmax(raw[output]) if kind == SIMPLEX else LINKS[kind](raw[output])
                found[output] = value if over_genes[output] else value[..., 0]
            return found

        return decoding

    def _n_batches(self, sizes: Mapping[str, int]) -> int:
        if not self.batch_covariate:
            return 0
        if not sizes.get(BATCHES):
            raise ConfigurationError(
                "the decoder is told each cell's batch, and the number of batches is not known",
                field=BATCHES,
                todo="give counts with batches: observe(counts, batch=...)",
            )
        return sizes[BATCHES]

    def _biases(self, starts: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for output, start in starts.items():
            if output not in self.outputs:
                raise ConfigurationError(
                    f"the decoder has no output {output!r}", field="starts", todo=suggestion(output, self.outputs)
                )
            kind = self.outputs[output][0]
            found[output] = jnp.log(start) if kind == SIMPLEX else INVERSE_LINKS[kind](jnp.asarray(start, float))
        return found


def _checked(name: str, given: Any) -> tuple[str, tuple[str, ...]]:
    kind, dims = (given, (GENES,)) if isinstance(given, str) else given
    if kind not in KINDS:
        raise ConfigurationError(
            "not a kind of output", field=f"outputs.{name}", expected=" or ".join(map(repr, KINDS)), got=kind
        )
    if tuple(dims) not in ((), (GENES,)) or (kind == SIMPLEX and not dims):
        raise ConfigurationError(
            "not axes of an output of single cells",
            field=f"outputs.{name}",
            expected='("n_genes",)' + ("" if kind == SIMPLEX else " or ()"),
            got=dims,
        )
    return kind, tuple(dims)
