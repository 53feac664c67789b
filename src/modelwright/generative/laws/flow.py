"""Laws of flows: their log-determinants, their inverses, the mass of their densities, the reach of their masks."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array
from scipy import stats

from modelwright.generative.flow.autoregressive import MaskedAutoregressive
from modelwright.generative.flow.chain import Repeated
from modelwright.generative.flow.flow import AbstractFlow, towards_base
from modelwright.generative.laws.chance import beside_normal
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, condition_of, largest, loose, one_condition
from modelwright.generative.protocol import AbstractGenerativeModel

_ON_A_SIDE = 256
_DRAWS = 4096


@final
class Walked(NamedTuple):
    """A few examples walked to the base and back, a few latents to data and back, with what was found on the way."""

    jacobian: Array
    there: Array
    log_det: Array
    log_prob: Array
    x_error: Array
    z_error: Array


@partial(jax.jit, static_argnums=0)
def _walk(graph: nnx.GraphDef, state: nnx.State, x: Array, z: Array, cond: Array | None) -> Walked:
    model = nnx.merge(graph, state)

    def alone(one: Array, cond: Array | None) -> Array:
        return model.encode(one[None], cond=None if cond is None else cond[None])[0]

    axes, vectors = (0, None if cond is None else 0), model.condition.vectors(cond, len(x))
    jacobian = jax.vmap(jax.jacrev(alone), axes)(x, cond).reshape(len(x), z.shape[-1], -1)
    there, log_det = towards_base(*nnx.split(model.bijection), x.reshape(len(x), *model.inner_shape), vectors)
    # both at once: every pass is compiled by itself, and that is what takes the time
    back = model.decode(jnp.concatenate([there, z]), cond=None if cond is None else jnp.concatenate([cond, cond]))
    z_error = model.encode(back[len(x) :], cond=cond) - z
    log_prob = model.log_prob(x, cond=cond).value
    return Walked(jacobian, there.reshape(len(x), -1), log_det, log_prob, back[: len(x)] - x, z_error)


@partial(jax.jit, static_argnums=0)
def _log_density(graph: nnx.GraphDef, state: nnx.State, x: Array, cond: Array | None) -> Array:
    return nnx.merge(graph, state).log_prob(x, cond=cond).value


def _walked(subject: Subject) -> Walked:
    """Walked in double precision, whatever that of the parameters.

    A map and its inverse multiply rounding by the condition number of the Jacobian; in single precision that of a flow
    as it comes out of training would hide an inverse that is wrong by a per cent.
    """
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        graph, state = nnx.split(subject.model)
        state, x, cond = jax.tree.map(_double, (state, subject.batch.x[:FEW], condition_of(subject)))
        z = jax.random.normal(subject.key("latent"), (len(x), subject.model.latent_dim), x.dtype)
        return jax.tree.map(np.asarray, _walk(graph, state, x, z, cond))


def _double(leaf: Array) -> Array:
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def log_determinant(subject: Subject) -> Measured:
    """The log-determinant is that of the Jacobian found by automatic differentiation, in double precision."""
    walked = _walked(subject)
    wanted = np.linalg.slogdet(walked.jacobian)[1]
    scale = 1.0 + float(np.abs(wanted).max())
    # against automatic differentiation; a solver's own error comes on top
    tolerance = 1e-6 + 30.0 * _solver_tolerance(subject.model)
    return Measured(float(np.abs(wanted - walked.log_det).max()) / scale, tolerance, "relative difference")


def density_by_definition(subject: Subject) -> Measured:
    """The log density is that of a standard normal latent and of the Jacobian by automatic differentiation.

    The normal density comes from SciPy, its constant with it. In double precision, as for the log-determinant.
    """
    walked = _walked(subject)
    wanted = stats.norm.logpdf(walked.there).sum(-1) + np.linalg.slogdet(walked.jacobian)[1]
    scale = 1.0 + float(np.abs(wanted).max())
    tolerance = 1e-6 + 30.0 * _solver_tolerance(subject.model)
    return Measured(float(np.abs(wanted - walked.log_prob).max()) / scale, tolerance, "relative difference")


def latents_are_normal(subject: Subject) -> Measured:
    """Samples, encoded, are standard normal numbers: along one direction, and by the length of the vectors.

    By the largest difference of cumulative frequencies (Kolmogorov and Smirnov), at most what chance exceeds in one of
    100,000 cases; in double precision, as a steep map would add rounding to the latents. Fewer samples of more numbers.
    """
    model, n = subject.model, int(np.clip(2 * _DRAWS // subject.model.latent_dim, 256, _DRAWS))
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        graph, state = nnx.split(model)
        state, cond = jax.tree.map(_double, (state, one_condition(subject, n)))
        double = nnx.merge(graph, state)
        latents = double.encode(double.sample(n, key=subject.key("normal"), cond=cond), cond=cond)
    figure, most = beside_normal(np.asarray(latents, np.float64), seed=subject.seed)
    return Measured(figure, most, f"largest difference of cumulative frequencies of {n} latents")


def round_trips(subject: Subject) -> Measured:
    """Data encoded and decoded, and latents decoded and encoded, are what they were, in double precision."""
    walked = _walked(subject)
    scale = 1.0 + largest(subject.batch.x[:FEW])
    error = max(float(np.abs(walked.x_error).max()) / scale, float(np.abs(walked.z_error).max()) / 4.0)
    # the same formula twice, its rounding multiplied by the condition number; never more than is allowed against
    # automatic differentiation, so that an inverse that is none is seen however steep the map
    condition = float(np.linalg.cond(walked.jacobian).max())
    rounding = min(10.0 * float(jnp.finfo(walked.jacobian.dtype).eps) * condition, 1e-6)
    tolerance = 1e-10 + rounding + 30.0 * _solver_tolerance(subject.model)
    return Measured(error, tolerance, "largest difference, relative to the scale of the numbers")


def density_on_the_way(subject: Subject) -> Measured:
    """The density of a sample is the same whether found on the way from the base or from the sample itself.

    The sample is the one that the same key gives without its density.
    """
    model, key, cond = subject.model, subject.key("way"), condition_of(subject)
    x, found = model.sample_with_log_prob(FEW, key=key, cond=cond)
    scale = 1.0 + largest(found)
    error = largest(model.log_prob(x, cond=cond).value - found) / scale
    if not bool((model.sample(FEW, key=key, cond=cond) == x).all()):
        return Measured(float("inf"), 0.0, "samples of one key, with their density and without, that differ:")
    tolerance = loose(subject, 1e-8, 1e-3) + 30.0 * _solver_tolerance(model)
    return Measured(error, tolerance, "relative difference")


def mass_is_one(subject: Subject) -> Measured:
    """The density of two numbers integrates to one."""
    log_density, weights, _ = _on_a_grid(subject)
    # midpoints 0.04 of a standard deviation apart in the middle; spline densities have kinks
    return Measured(abs(float((np.exp(log_density) * weights).sum()) - 1.0), 5e-3, "deviation of the integral from 1")


def entropy_of_samples(subject: Subject) -> Measured:
    """The mean log density of samples is minus the entropy, which is an integral."""
    log_density, weights, of_samples = _on_a_grid(subject)
    mass = np.exp(log_density) * weights
    negative_entropy = float((mass * log_density)[mass > 0.0].sum())
    error = of_samples.std() / np.sqrt(len(of_samples))
    words = f"standard errors between {of_samples.mean():.4f} of samples and {negative_entropy:.4f} by quadrature:"
    return Measured(abs(float(of_samples.mean()) - negative_entropy) / error, 5.0, words)


def masks_are_complete(subject: Subject) -> Measured:
    """Every number of an autoregressive layer depends on each of those before it, and on none after it."""
    wrong = 0
    for layer in _autoregressive_layers(subject.model):
        # what stands before a layer standardises the data; far from them splines are straight, and see nothing
        x = jax.random.normal(subject.key("masks"), (len(subject.batch.x), len(layer.order)))
        cond = subject.model.condition.vectors(subject.batch.cond, len(x))
        moves = np.asarray(_moves(*nnx.split(layer), x, cond))
        places = np.asarray(layer.order)
        wrong += int((moves != (places[None, :] <= places[:, None])).sum())
    return Measured(float(wrong), 0.0, "entries of the Jacobian that are there and should not be, or the reverse:")


@partial(jax.jit, static_argnums=0)
def _moves(graph: nnx.GraphDef, state: nnx.State, x: Array, cond: Array | None) -> Array:
    """Which y moves with which x at any of the examples; units may be flat at some."""

    def alone(one: Array, cond: Array | None) -> Array:
        return nnx.merge(graph, state).forward(one[None], None if cond is None else cond[None])[0][0]

    axes = (0, None if cond is None else 0)
    return (jax.vmap(jax.jacrev(alone), axes)(x, cond) != 0.0).any(0)


def _on_a_grid(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log density and weight of each point of a grid, and the log densities of some samples.

    The grid reaches 60 standard deviations out and is denser in the middle.
    """
    model = subject.model
    x = model.sample(_DRAWS, key=subject.key("plane"), cond=one_condition(subject, _DRAWS))
    low, middle, high = np.quantile(np.asarray(x).reshape(len(x), 2), [0.16, 0.5, 0.84], axis=0)
    spread = (high - low) / 2.0
    reach = np.arcsinh(60.0)
    step = 2.0 * reach / _ON_A_SIDE
    u = -reach + step * (np.arange(_ON_A_SIDE) + 0.5)
    sides = [middle[k] + spread[k] * np.sinh(u) for k in range(2)]
    lengths = [spread[k] * np.cosh(u) * step for k in range(2)]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, *model.example_shape)
    all_points = jnp.concatenate([jnp.asarray(points, x.dtype), x])
    found = _log_density(*nnx.split(model), all_points, one_condition(subject, len(all_points)))
    of_grid, of_samples = np.split(np.asarray(found, np.float64), [len(points)])
    return of_grid, np.outer(*lengths).reshape(-1), of_samples


def _autoregressive_layers(model: AbstractGenerativeModel) -> Iterator[MaskedAutoregressive]:
    """The first autoregressive layer of each stack, and all that are in none."""
    stacked = set()
    for _, found in nnx.iter_graph(model):
        if isinstance(found, Repeated):
            graph, states = nnx.split(found.stacked)
            first = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[0], states))
            yield from (part for _, part in nnx.iter_graph(first) if isinstance(part, MaskedAutoregressive))
            stacked |= {id(part) for _, part in nnx.iter_graph(found.stacked)}
    for _, found in nnx.iter_graph(model):
        if isinstance(found, MaskedAutoregressive) and id(found) not in stacked:
            yield found


def _solver_tolerance(model: AbstractGenerativeModel) -> float:
    return max((getattr(found, "rtol", 0.0) for _, found in nnx.iter_graph(model)), default=0.0)


def _is_flow(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, AbstractFlow)


def _is_plane(model: AbstractGenerativeModel) -> bool:
    return _is_flow(model) and model.latent_dim == 2


FLOW_LAWS = (
    Law("the log-determinant is that of the Jacobian", _is_flow, log_determinant),
    Law("the log density is that of a normal latent and the Jacobian", _is_flow, density_by_definition),
    Law("there and back again is where one was", _is_flow, round_trips),
    Law("a sample's density is the same from both ends", _is_flow, density_on_the_way),
    Law("samples have standard normal latents", _is_flow, latents_are_normal),
    Law("the density of two numbers integrates to one", _is_plane, mass_is_one),
    Law("the mean log density of samples is minus the entropy", _is_plane, entropy_of_samples),
    Law(
        "autoregressive layers see all that comes before and nothing else",
        lambda model: (
            _is_flow(model) and any(isinstance(part, MaskedAutoregressive) for _, part in nnx.iter_graph(model))
        ),
        masks_are_complete,
    ),
)
