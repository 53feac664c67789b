"""Flows on which the laws run."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from instances import Instance, configuration, real

from modelwright.generative.protocol import Batch


def labelled(shape: tuple[int, ...], classes: int, n: int = 16) -> Callable[[np.random.Generator], Batch]:
    """Standard normal examples with labels."""

    def make(generator: np.random.Generator) -> Batch:
        x = generator.standard_normal((n, *shape)).astype(np.float32)
        return Batch(jnp.asarray(x), jnp.asarray(generator.integers(0, classes, n)))

    return make


def flow(name: str, input_dim: object, hidden: object = (8,), activation: str = "tanh", **parameters: object) -> object:
    return configuration(f"flow.{name}", input_dim, hidden_dims=hidden, activation=activation, parameters=parameters)


INSTANCES = {
    "RealNVP, plane": Instance(flow("RealNVP", 2, n_transforms=3), real((2,))),
    "RealNVP of context, linear maps between": Instance(
        flow("RealNVP", 5, n_transforms=2, permutation="linear", context_dim=2), real((5,), context=2)
    ),
    "MAF, plane": Instance(flow("MAF", 2, (8, 8), n_transforms=2), real((2,))),
    "MAF of labels, random orders, fewer units than numbers": Instance(
        flow("MAF", (5, 1, 1), (3, 4), n_transforms=2, permutation="random", act_norm=False, n_classes=3),
        labelled((5, 1, 1), 3),
    ),
    "IAF of context, plane": Instance(flow("IAF", 2, n_transforms=2, context_dim=1), real((2,), context=1)),
    "splines in couplings of labels, plane": Instance(
        flow("NeuralSplineFlow", 2, n_transforms=2, n_bins=4, n_classes=3), labelled((2,), 3)
    ),
    "splines, autoregressive, five numbers": Instance(
        flow("NeuralSplineFlow", 5, n_transforms=2, n_bins=4, transform="autoregressive"), real((5,))
    ),
    "Glow of labels, two scales, wider than high": Instance(
        flow("Glow", (4, 8, 1), n_levels=2, n_steps=1, n_classes=3), labelled((4, 8, 1), 3)
    ),
    "continuous of context, plane": Instance(
        flow("ContinuousFlow", 2, solver="dopri5", rtol=1e-6, atol=1e-6, context_dim=1), real((2,), context=1)
    ),
}
