"""Amortizers: networks from what a cell's (or gene's) counts say to the parameters of its guide.

    Amortizer(TOTAL_COUNT, (64, 64), ("loc", "scale"))

Instead of a location and a spread for every cell, the weights of one network serve all cells, later ones included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from numpyro.contrib.module import flax_module

from modelwright.bayesian.components.networks import LINKS, FeedForward, checked_kinds, checked_widths
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.bayesian.components.sufficient_statistics import Axis, SufficientStatistic
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

KINDS_BY_NAME = {
    "loc": "real",
    "scale": "positive",
    "log_scale": "real",
    "alpha": "positive",
    "beta": "positive",
    "concentration": "positive",
    "rate": "positive",
}
"""Kind of an output asked for by its name alone. `log_scale` is a log *variance*, as in latent specifications."""


@dataclass(frozen=True)
class Amortizer:
    """A network from a sufficient statistic to named outputs, each of them onto its kind by a smooth function.

    The network sees the statistic after log(1 + x) where it counts, brought to mean 0 and variance 1 with constants of
    the data it was first fitted to. It is registered with NumPyro once, under one name, outside of all plates.

    Args:
        sufficient_statistic: What it looks at.
        hidden_dims: Width of each hidden layer.
        output_params: Names of the outputs, or name -> kind: "real", "positive" (softplus) or "unit_interval"
            (logistic). The kinds of names in `KINDS_BY_NAME` are known.
        layer_norm: Whether hidden layers are normalised, each row by itself.

    Raises:
        ConfigurationError: widths that are none, an output whose kind is not known.

    Source:
        D. P. Kingma, M. Welling (2014), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114.

    Example:
        >>> from modelwright.bayesian.components.sufficient_statistics import TOTAL_COUNT
        >>> Amortizer(TOTAL_COUNT, (64, 64)).kinds
        {'loc': 'real', 'scale': 'positive'}
    """

    sufficient_statistic: SufficientStatistic
    hidden_dims: tuple[int, ...] = (64, 64)
    output_params: tuple[str, ...] | Mapping[str, str] = ("loc", "scale")
    layer_norm: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.sufficient_statistic, SufficientStatistic):
            raise ConfigurationError(
                "not a sufficient statistic",
                field="sufficient_statistic",
                expected="one such as TOTAL_COUNT, or SufficientStatistic(name, fn, n_outputs)",
                got=self.sufficient_statistic,
            )
        object.__setattr__(self, "hidden_dims", checked_widths("hidden_dims", self.hidden_dims))
        given = self.output_params
        if not isinstance(given, Mapping):
            if isinstance(given, str) or not isinstance(given, Sequence) or not given:
                raise ConfigurationError(
                    "not names", field="output_params", expected='names such as ("loc", "scale")', got=given
                )
            for name in given:
                if name not in KINDS_BY_NAME:
                    raise ConfigurationError(
                        f"which numbers {name!r} can be is not known",
                        field="output_params",
                        expected=f"a kind for it: {{{name!r}: 'real'}}, or 'positive', or 'unit_interval'",
                        todo=suggestion(name, KINDS_BY_NAME),
                    )
            object.__setattr__(self, "output_params", tuple(given))
        else:
            object.__setattr__(self, "output_params", checked_kinds("output_params", given))

    @property
    def kinds(self) -> dict[str, str]:
        """Name of each output -> its kind."""
        given = self.output_params
        return dict(given) if isinstance(given, Mapping) else {name: KINDS_BY_NAME[name] for name in given}

    def inputs(self, data: ObservedCounts | None, axis: Axis, cells: Any = None) -> Any:
        """What the network sees, shape (n_rows, n_inputs).

        Args:
            data: The observed data.
            axis: Whether a row is a cell, a gene or the whole.
            cells: Positions of the mini-batch's cells; all when left out.

        Raises:
            ConfigurationError: no data are there, or the data do not carry the statistic.
        """
        if data is None:
            raise ConfigurationError(
                "an amortized guide needs the data it is to look at, and there are none",
                field=f"statistic {self.sufficient_statistic.name}",
                todo="run the guide with observed counts",
            )
        return data.network_inputs(self.sufficient_statistic, axis, cells)

    def raw_outputs(
        self, name: str, inputs: Any, width: int, biases: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Register the network and run it; outputs are not yet brought onto their kinds.

        Called outside of all plates.

        Args:
            name: The network's name; its weights are the parameter `{name}$params`.
            inputs: Shape (n_rows, n_inputs).
            width: Numbers per row in each output.
            biases: Output -> where its bias begins.

        Returns:
            Output -> array of shape (n_rows, width).
        """
        heads = tuple((output, width) for output in self.kinds)
        network = FeedForward(self.hidden_dims, heads, biases=biases, layer_norm=self.layer_norm)
        return flax_module(name, network, input_shape=(1, inputs.shape[-1]))(inputs)

    def outputs(self, name: str, inputs: Any, width: int) -> dict[str, Any]:
        """Register the network, run it, and bring every output onto its kind; arguments as for `raw_outputs`."""
        raw = self.raw_outputs(name, jnp.asarray(inputs), width)
        return {output: LINKS[kind](raw[output]) for output, kind in self.kinds.items()}
