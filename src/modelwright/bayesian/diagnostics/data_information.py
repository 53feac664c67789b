"""What the data say of a step of the unknowns, without what is believed of them beforehand: J'J of the scores.

    J[i, k] = d log p(y_i | z) / d z_k          a row for every observation, z the unconstrained unknowns
    z' J'J z = 0                                no observation notices the step z

A ridge of the likelihood is such a step, whether it is straight or curved: along a curve of equal likelihood no
observation's density changes, while the Hessian of the log likelihood at a point beside its top may well be curved
along it. The matrix is never made: the rows are linearised once, and every product with it is a few passes over them,
or over sums of their products where each row sees one number of each site (see `row_blocks`).

Parts of a hierarchy say something, too, and are no prior knowledge: a site whose prior depends on other unknowns is an
observation of those. Its rows are averaged over values drawn from that prior (given the others), as its Fisher
information is. The same goes for a hierarchy written without centring, a plate of standard normals that an unknown
scale multiplies: such a plate is told by the data, in that they cannot tell a larger scale from larger numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost
from numpyro.handlers import seed as seeded
from numpyro.handlers import substitute, trace

from modelwright.bayesian.diagnostics.row_blocks import FEWEST, blocks_of_scores, by_blocks
from modelwright.bayesian.inference.tracing import TRACING
from modelwright.core.seeds import named_seed

if TYPE_CHECKING:
    from modelwright.bayesian.inference.unconstrained import Unconstrained

LARGEST_ROWS = 20_000_000
"""Observations up to which all are linearised: each keeps some tens of bytes (arbitrary)."""

ROWS_PER_UNKNOWN = 4
"""Rows for each unknown below which data are drawn from the model beside those seen: fewer rows than unknowns leave
steps open that the data do not."""

MOST_REPLICATIONS = 64

HIERARCHY_DRAWS = 32
"""Values of the parts of a hierarchy over which their information is averaged."""

COLLINEAR = 1e-8
"""1 - cos^2 of two columns of scores below which they count as one; rounding of double precision leaves 1e-14."""


@dataclass(frozen=True, eq=False)
class DataInformation:
    """Products with J'J.

    Args:
        products: Vectors, shape (n, d) -> J'J times each, shape (n, d).
        of_hierarchy: Sites whose priors count as observations.
        rows: Observations that were looked at.
    """

    products: Callable[[np.ndarray], np.ndarray]
    of_hierarchy: frozenset[str]
    rows: int

    def along(self, step: np.ndarray) -> float:
        """Step' J'J step, never negative."""
        return max(float(step @ self.products(step[None])[0]), 0.0)


def data_information(density: "Unconstrained", z: np.ndarray, *, seed: int = 0) -> DataInformation | None:
    """The information that data and hierarchy give at a point, from the score of every observation.

    Numbers that a distribution declares to be one event of independent parts are looked at one by one.

    Args:
        density: A model that observes its data one by one; call with double precision on.
        z: The point, shape (d,).
        seed: Seed of what is drawn.

    Returns:
        None where the model observes all of its data in one number, where there are more than `LARGEST_ROWS` of them,
        or fewer than `ROWS_PER_UNKNOWN` for each unknown and the model cannot draw more.

    Source: T. Cui, J. Martin, Y. Marzouk, A. Solonen, A. Spantini (2014), https://arxiv.org/abs/1403.4680 (directions
    that data inform, told apart by J'J against the prior); T. Rothenberg (1971), https://doi.org/10.2307/1913267 (a
    model is identified where that matrix is regular).
    """
    arrays = density.call.device_arrays()
    counts = {name: int(np.prod(shape)) for name, shape in observed_shapes(density).items()}
    rows = sum(counts.values())
    if rows <= len(counts) or rows > LARGEST_ROWS:
        return None
    replications = -(-ROWS_PER_UNKNOWN * density.size // rows) - 1
    drawn: Mapping[str, Any] = {}
    if replications > 0:
        found = _replicated(density, z, arrays, min(replications, MOST_REPLICATIONS), seed)
        if found is None:
            return None
        drawn = found
    of_data = _products(density, lambda at, arrays, drawn: _observed_rows(density, at, arrays, drawn), z, arrays, drawn)
    hierarchy = _dependent_sites(density, z, arrays)
    hierarchy |= _scaled_standard_normals(density, z, arrays, hierarchy, of_data)
    if not hierarchy:
        return DataInformation(of_data, hierarchy, rows)
    values = _hierarchy_draws(density, z, arrays, hierarchy, seed)
    of_parts = _products(
        density, lambda at, arrays, values: _hierarchy_rows(density, at, z, arrays, values), z, arrays, values
    )
    return DataInformation(lambda v: of_data(v) + of_parts(v), hierarchy, rows)


def _products(
    density: "Unconstrained", rows: Callable[..., Mapping[str, Any]], z: np.ndarray, arrays: Any, drawn: Any
) -> Any:
    """Products with J'J of a function whose values are the rows, linearised once."""
    with TRACING:
        linearised = jax.jit(lambda at, arrays, drawn: jax.linearize(lambda x: rows(x, arrays, drawn), at)[1])
        shapes = jax.eval_shape(rows, z, arrays, drawn)
        scores = linearised(jnp.asarray(z, float), arrays, drawn)

    @jax.jit
    def both_ways(scores: Any, vectors: Any) -> Any:
        return jax.lax.map(lambda v: jax.linear_transpose(scores, v)(scores(v))[0], vectors)

    def products(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(both_ways(scores, jnp.asarray(vectors, float)))

    if density.size <= FEWEST:
        return products
    one_way = jax.jit(lambda scores, v: scores(v))
    blocks = blocks_of_scores(
        density, {part: each.shape for part, each in shapes.items()}, lambda v: one_way(scores, jnp.asarray(v))
    )
    return by_blocks(density, blocks, products)


def observed_shapes(density: "Unconstrained") -> dict[str, tuple[int, ...]]:
    """Observed site -> shape of its observations one by one; () where a model sums its data up; nothing is computed.

    Args:
        density: The model's; call with double precision on.
    """
    z, arrays = jax.ShapeDtypeStruct((density.size,), float), density.call.device_arrays()
    with TRACING:
        found = jax.eval_shape(lambda at, arrays: _observed_rows(density, at, arrays, {}), z, arrays)
    return {name: tuple(rows.shape) for name, rows in found.items()}


def posterior_rows(density: "Unconstrained", z: Any, arrays: Any) -> dict[str, Any]:
    """Log densities of observations and unconstrained unknowns one by one, as far as the model says; they add up to it.

    Args:
        density: The model's.
        z: A point, shape (d,).
        arrays: Of the call.

    Returns:
        Site -> rows; those of an unknown are its prior's.
    """
    own, found = density.unravel(z), {}
    for name, site in _sites_at(density, z, arrays).items():
        if site["type"] != "sample":
            continue
        if name in own:
            rows = _log_prior_rows(site, own[name])
        elif site["is_observed"]:
            rows = _one_by_one(site["fn"]).log_prob(site["value"])
        else:
            continue
        found[name] = rows if site["scale"] is None else rows * site["scale"]
    return found


def _sites_at(density: "Unconstrained", z: Any, arrays: Any) -> dict[str, Any]:
    args, kwargs = density.call.arguments(arrays)
    values = density.constrain(z, arrays)
    latent = {name: values[name] for name in density.shapes}
    found: dict[str, Any] = trace(substitute(seeded(density.model, jax.random.key(0)), data=latent)).get_trace(
        *args, **kwargs
    )
    return found


def _observed_rows(density: "Unconstrained", z: Any, arrays: Any, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Log densities of the observations one by one, weighted so that seen and drawn data count as one data set."""
    found = {}
    for name, site in _sites_at(density, z, arrays).items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        each = _one_by_one(site["fn"])
        rows = each.log_prob(site["value"])
        if name in drawn:
            more = each.log_prob(drawn[name])
            together = jnp.concatenate([jnp.broadcast_to(rows, more.shape[1:])[None], more])
            rows = together / np.sqrt(len(together))
        found[name] = rows if site["scale"] is None else rows * jnp.sqrt(site["scale"])
    return found


def _one_by_one(fn: dist.Distribution) -> dist.Distribution:
    while isinstance(fn, dist.Independent):
        fn = fn.base_dist
    return fn


def _replicated(density: "Unconstrained", z: np.ndarray, arrays: Any, n: int, seed: int) -> dict[str, Any] | None:
    """Data drawn from the model at a point, shape (n, ...) for each observed site; None where it cannot draw."""

    def draw(at: Any, arrays: Any) -> dict[str, Any]:
        return {
            name: site["fn"].sample(jax.random.key(named_seed(seed, f"replicated {name}")), (n,))
            for name, site in _sites_at(density, at, arrays).items()
            if site["type"] == "sample" and site["is_observed"] and not isinstance(site["fn"], dist.Unit)
        }

    try:
        with TRACING:
            return dict(jax.jit(draw)(jnp.asarray(z, float), arrays))
    except NotImplementedError:  # as NumPyro's distributions say where they have a density only
        return None


def _log_prior_rows(site: Mapping[str, Any], u: Any) -> Any:
    """Log prior density of unconstrained values u of a latent site, one by one."""
    each = _one_by_one(site["fn"])
    transform = biject_to(each.support)
    x = transform(u)
    rows = each.log_prob(x)
    jacobian = transform.log_abs_det_jacobian(u, x)
    return rows + sum_rightmost(jacobian, jnp.ndim(jacobian) - jnp.ndim(rows))


def _dependent_sites(density: "Unconstrained", z: np.ndarray, arrays: Any) -> frozenset[str]:
    """Latent sites whose priors depend on other unknowns."""

    def log_priors(at: Any, arrays: Any) -> Any:
        sites, own = _sites_at(density, at, arrays), density.unravel(jnp.asarray(z, float))
        return jnp.stack([jnp.sum(_log_prior_rows(sites[name], own[name])) for name in density.shapes])

    with TRACING:
        slopes = np.asarray(jax.jit(jax.jacrev(log_priors))(jnp.asarray(z, float), arrays))
    return frozenset(name for name, row in zip(density.shapes, slopes, strict=True) if row.any())


def _scaled_standard_normals(
    density: "Unconstrained", z: np.ndarray, arrays: Any, dependent: frozenset[str], of_data: Any
) -> frozenset[str]:
    """Sites of independent standard normals that another site multiplies, as the data have it."""

    def log_priors(at: Any, arrays: Any) -> dict[str, Any]:
        sites, own = _sites_at(density, at, arrays), density.unravel(at)
        return {name: _log_prior_rows(sites[name], own[name]) for name in density.shapes}

    with TRACING:
        found = jax.jit(log_priors)(jnp.asarray(z, float), arrays)
    own = density.unravel(z)
    standard = [
        name
        for name, rows in found.items()
        if name not in dependent
        and own[name].size > 1
        and np.shape(rows) == own[name].shape
        and np.allclose(rows, -0.5 * own[name] ** 2 - 0.5 * np.log(2.0 * np.pi), rtol=0.0, atol=1e-9)
    ]
    if not standard:
        return frozenset()
    steps = {name: np.zeros(density.size) for name in density.shapes}
    for name, place in density.places.items():
        steps[name][place] = 1.0
    larger = {name: np.where(steps[name] > 0.0, z, 0.0) for name in standard}
    vectors = np.stack([*larger.values(), *steps.values()])
    inner = vectors @ of_data(vectors).T
    lengths = np.maximum(np.diagonal(inner), 1e-150)  # of a site that data do not see; products stay numbers
    apart = 1.0 - inner**2 / (lengths[:, None] * lengths)
    others = list(steps)
    return frozenset(
        name
        for k, name in enumerate(standard)
        if any(apart[k, len(standard) + j] < COLLINEAR for j, other in enumerate(others) if other != name)
    )


def _hierarchy_draws(
    density: "Unconstrained", z: np.ndarray, arrays: Any, hierarchy: frozenset[str], seed: int
) -> dict[str, Any]:
    """Unconstrained values of the parts of a hierarchy, drawn given the other unknowns, shape (n, ...)."""

    def draw(at: Any, arrays: Any) -> dict[str, Any]:
        found = {}
        for name, site in _sites_at(density, at, arrays).items():
            if name in hierarchy:
                key = jax.random.key(named_seed(seed, f"hierarchy {name}"))
                each = _one_by_one(site["fn"])
                found[name] = biject_to(each.support).inv(each.sample(key, (HIERARCHY_DRAWS,)))
        return found

    with TRACING:
        return dict(jax.jit(draw)(jnp.asarray(z, float), arrays))


def _hierarchy_rows(
    density: "Unconstrained", z: Any, point: np.ndarray, arrays: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Log priors of drawn values, one by one; the values move with their sites."""
    sites, step = _sites_at(density, z, arrays), density.unravel(z - point)
    return {
        name: _log_prior_rows(sites[name], drawn + step[name]) / np.sqrt(HIERARCHY_DRAWS)
        for name, drawn in values.items()
    }
