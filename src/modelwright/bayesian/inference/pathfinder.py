"""Where to begin a fit: the best of the normal distributions along a climb to the posterior's mode.

Every point that L-BFGS passes has an estimate of the curvature, and so a normal distribution. The one with the best
ELBO, from a few draws each, tends to lie in the posterior's bulk, where the mode of a hierarchical model need not.

    start = pathfinder(model, counts)
    start.locations["mu"]            # location and scale in the unconstrained space, to begin a guide from
    start.values["mu"]               # the location mapped to mu's support, to begin chains from

Source:
    L. Zhang, B. Carpenter, A. Gelman, A. Vehtari (2022), https://jmlr.org/papers/v23/21-0889.html; J. Gilbert, C.
    Lemaréchal (1989), https://doi.org/10.1007/BF01589113 (the diagonal).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from modelwright.bayesian.inference.guide_draws import in_blocks
from modelwright.bayesian.inference.lbfgs import climb
from modelwright.bayesian.inference.map_laplace import dict_of_locations
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.core.errors import ConfigurationError
from modelwright.core.seeds import named_generator

PAIRS = 6
"""Steps that the low-rank part of each curvature rests on, as in the paper."""


@dataclass(frozen=True, eq=False)
class Pathfinder:
    """A place to begin from.

    Args:
        locations: Site -> location and scale in the unconstrained space.
        values: Site -> the location mapped to the site's support.
        elbo: ELBO of every point of the path, shape (point,); NaN where a curvature was not positive.
        chosen: Which point was chosen.
        iterations: Iterations of the climb.
    """

    locations: Mapping[str, tuple[np.ndarray, np.ndarray]]
    values: Mapping[str, np.ndarray]
    elbo: np.ndarray
    chosen: int
    iterations: int


@dataclass(frozen=True, eq=False)
class LowRankNormal:
    """A normal distribution with covariance diag(alpha) + beta gamma beta'.

    Args:
        mean: Shape (d,).
        root_alpha: Square root of alpha, shape (d,).
        axes: Orthonormal columns Q, shape (d, m).
        inner: Lower triangle L with the covariance root_alpha (I + Q (L L' - I) Q') root_alpha, shape (m, m).
    """

    mean: np.ndarray
    root_alpha: np.ndarray
    axes: np.ndarray
    inner: np.ndarray

    def draw(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws and their log densities, from standard normal noise (n, d)."""
        along = noise @ self.axes
        moved = noise + (along @ self.inner.T - along) @ self.axes.T
        log_scale = np.log(self.root_alpha).sum() + np.log(np.abs(np.diagonal(self.inner))).sum()
        log_density = -0.5 * (noise**2).sum(1) - log_scale - 0.5 * noise.shape[1] * np.log(2.0 * np.pi)
        return self.mean + self.root_alpha * moved, log_density

    def variances(self) -> np.ndarray:
        """The diagonal of the covariance, shape (d,)."""
        inside = self.inner @ self.inner.T - np.eye(len(self.inner))
        return self.root_alpha**2 * (1.0 + np.einsum("dm,mk,dk->d", self.axes, inside, self.axes))


def pathfinder(
    model: Callable[..., Any],
    data: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
    iterations: int = 100,
    draws: int = 5,
    seed: int = 42,
    constant_data: bool = False,
) -> Pathfinder:
    """Find a place to begin from.

    Args:
        model: A NumPyro model, called as `model(data, **kwargs)`; continuous latent sites only.
        data: Its positional argument, or a tuple of several.
        kwargs: Keyword arguments of the model.
        start: Latent site -> value to begin the climb from; the middle of the unconstrained space by default.
        iterations: The most iterations.
        draws: Draws per point that its ELBO rests on.
        seed: Seed of the draws.
        constant_data: Whether the model looks at the values of its data while it is traced.

    Raises:
        ConfigurationError: no point has a normal distribution with a finite ELBO.
    """
    args = data if isinstance(data, tuple) else (data,)
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        call = Call.of(args, kwargs or {}, constant=constant_data)
        density = Unconstrained.of(model, call)
        z = density.unconstrain(start) if start else np.zeros(density.size)
        path = climb(density, z, iterations=iterations, keep_path=True)
        normals = normals_along(path.path, path.path_gradients)
        generator = named_generator(seed, "pathfinder")
        noise = generator.standard_normal((draws, density.size))  # the same for every point: they are to be compared
        drawn = [None if normal is None else normal.draw(noise) for normal in normals]
        points = [pair[0] for pair in drawn if pair is not None]
        if not points:
            raise ConfigurationError(
                "the climb made no step whose curvature is positive",
                field="start",
                todo="give start values near which the data are possible",
            )
        one = lambda arrays, at: density.log_joint(at, arrays)  # noqa: E731
        heights = iter(np.asarray(in_blocks(one, call.device_arrays(), np.concatenate(points))).reshape(-1, draws))
        elbo = np.array([np.nan if pair is None else float((next(heights) - pair[1]).mean()) for pair in drawn])
        elbo[~np.isfinite(elbo)] = np.nan
        if np.isnan(elbo).all():
            raise ConfigurationError("no point has a finite ELBO", field="start", todo="give start values")
        chosen = int(np.nanargmax(elbo))
        normal = normals[chosen]
        assert normal is not None
        mapped = jax.jit(density.constrain)(normal.mean, call.device_arrays())
    return Pathfinder(
        locations=dict_of_locations(density, normal.mean, np.sqrt(normal.variances())),
        values={name: np.asarray(mapped[name]) for name in density.shapes},
        elbo=elbo,
        chosen=chosen,
        iterations=path.iterations,
    )


def normals_along(path: np.ndarray, gradients: np.ndarray) -> list[LowRankNormal | None]:
    """The normal distribution at every point of a climb but the first; None where none is to be had.

    Args:
        path: Points, shape (n + 1, d).
        gradients: Gradients of the log density at them, shape (n + 1, d).

    Example:
        >>> points = np.array([[2.0, 2.0], [1.0, 1.5], [0.2, 0.1], [0.0, 0.0]])
        >>> normals = normals_along(points, -points * np.array([1.0, 4.0]))   # precision 1 and 4
        >>> normals[-1].variances().round(2).tolist()
        [1.0, 0.25]
    """
    alpha = np.ones(path.shape[1])
    steps: list[np.ndarray] = []
    bends: list[np.ndarray] = []
    found: list[LowRankNormal | None] = []
    for k in range(1, len(path)):
        s, y = path[k] - path[k - 1], gradients[k - 1] - gradients[k]
        if s @ y > 1e-12 * (y @ y):  # otherwise the climb saw no curvature here
            alpha = _bent(alpha, s, y)
            steps, bends = [*steps, s][-PAIRS:], [*bends, y][-PAIRS:]
        found.append(_normal(path[k], gradients[k], alpha, steps, bends))
    return found


def _bent(alpha: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The diagonal that has seen one more pair."""
    a, b, c = y @ (alpha * y), y @ s, s @ (s / alpha)
    return 1.0 / (a / (b * alpha) + y**2 / b - a * s**2 / (b * c * alpha**2))


def _normal(
    point: np.ndarray, gradient: np.ndarray, alpha: np.ndarray, steps: list[np.ndarray], bends: list[np.ndarray]
) -> LowRankNormal | None:
    if not steps or not (np.isfinite(alpha) & (alpha > 0)).all():
        return None
    s, y = np.stack(steps, 1), np.stack(bends, 1)  # (d, j)
    upper = np.triu(s.T @ y)
    inverse = np.linalg.solve(upper, np.eye(len(upper)))
    eta = np.diag(np.diagonal(upper))
    beta = np.concatenate([alpha[:, None] * y, s], axis=1)
    corner = inverse.T @ (eta + y.T @ (alpha[:, None] * y)) @ inverse
    gamma = np.block([[np.zeros_like(upper), -inverse], [-inverse.T, corner]])
    axes, triangle = np.linalg.qr(beta / np.sqrt(alpha)[:, None])
    inside = np.eye(len(triangle)) + triangle @ gamma @ triangle.T
    try:
        inner = np.linalg.cholesky(0.5 * (inside + inside.T))
    except np.linalg.LinAlgError:
        return None
    mean = point + alpha * gradient + beta @ (gamma @ (beta.T @ gradient))
    return LowRankNormal(mean, np.sqrt(alpha), axes, inner)
