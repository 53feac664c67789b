"""What the data leave open: unknowns that stay as their priors say, and directions in which several move together.

Two tables. *Contraction*: how much narrower an unknown is after seeing the data than before. *Directions*: the
information matrix, each unknown scaled to its own curvature, has an eigenvalue near zero where unknowns can move
together at hardly any cost. Looked at one by one they seem well known; along the direction they are not. What holds
them there may be the data after all, or nothing but the priors: then only an anchor helps (a known total, a prior that
says something).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics import thresholds
from modelwright.core.verdict import Finding, Grade

if TYPE_CHECKING:
    from modelwright.bayesian.inference.fit_result import AbstractFit
    from modelwright.bayesian.inference.unconstrained import Unconstrained

DRAWS = 400
"""Draws of prior and posterior: standard deviations are known to 4 %."""

DIRECTIONS = 3
"""Directions looked at."""

LARGEST_DENSE = 400
"""Unknowns up to which all directions are found at once; of more, the flattest by Lanczos' iteration."""

FLATTEST = 1e-10
"""Eigenvalue (of a matrix with unit diagonal, in double precision) below which a direction has no curvature at all."""

SHARE_NAMED = 0.02
"""Share of a direction from which a site is named (arbitrary)."""


@dataclass(frozen=True)
class Direction:
    """A direction in which unknowns move together, in the unconstrained space.

    Args:
        shares: Site -> its share of the direction, largest first; they add up to one.
        signs: Site -> 1 where (nearly) all of its numbers grow along the direction, -1 where they fall, 0 for neither.
        spread: Standard deviation along it, over what the curvatures of its unknowns one by one would give; infinite
            where the density does not fall off along it.
        reported: The same of the fit's own draws.
        prior_share: Share of the curvature along it that the data do not account for.
    """

    shares: Mapping[str, float]
    signs: Mapping[str, int]
    spread: float
    reported: float
    prior_share: float

    @property
    def words(self) -> str:
        """The direction in words: which sites move, and how."""
        named = [name for name, share in self.shares.items() if share >= SHARE_NAMED]
        rising = [name for name in named if self.signs[name] == self.signs[named[0]] != 0]
        falling = [name for name in named if self.signs[name] == -self.signs[named[0]] != 0]
        if len(named) == 1:
            return f"the numbers of {named[0]} move together"
        if rising and falling:
            return f"{_listed(named)} move together ({_listed(rising)} up as {_listed(falling)} down)"
        return f"{_listed(named)} move together"


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the data leave open.

    Args:
        table: A row per number: site, prior_sd, posterior_sd (both unconstrained), contraction.
        directions: The flattest directions, the flattest first.
        findings: What they say.
    """

    table: pd.DataFrame
    directions: tuple[Direction, ...]
    findings: tuple[Finding, ...]

    def directions_table(self) -> pd.DataFrame:
        """A row per direction."""
        return pd.DataFrame(
            {
                "direction": [d.words for d in self.directions],
                "spread": [d.spread for d in self.directions],
                "reported": [d.reported for d in self.directions],
                "prior_share": [d.prior_share for d in self.directions],
            }
        )


def identify(
    fit: "AbstractFit", *, draws: int = DRAWS, seed: int = 0, model: Callable[..., Any] | None = None
) -> Identifiability:
    """Contraction of every unknown and the flattest directions at the posterior's middle.

    Args:
        fit: Any fit.
        draws: Draws of prior and posterior.
        seed: Their seed.
        model: A model of the same density to look at. By default one that observes its data one by one, where the
            fitted one can say of one: what the data say along a curved ridge is told from single observations only.

    Source: A. Raue et al. (2009), https://doi.org/10.1093/bioinformatics/btp358 (directions that data leave open); D.
    Schad, M. Betancourt, S. Vasishth (2021), https://arxiv.org/abs/1904.12765 (contraction).
    """
    from modelwright.bayesian.inference.data_models import observing_one_by_one
    from modelwright.bayesian.inference.unconstrained import Unconstrained

    subject = fit.subject
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        density = Unconstrained.of(model or observing_one_by_one(subject.model), subject.call)
        sampled = fit.sample(draws, seed, sites=tuple(density.shapes))
        posterior = _unconstrained(density, {name: sampled[name] for name in density.shapes})
        prior = _unconstrained(density, _prior_draws(density, draws, seed))
        directions = flattest_directions(density, posterior.mean(0), posterior)
    prior_sd, posterior_sd = _robust_sd(prior), _robust_sd(posterior)
    contraction = 1.0 - (posterior_sd / np.maximum(prior_sd, 1e-300)) ** 2
    sites = [name for name, place in density.places.items() for _ in range(place.stop - place.start)]
    table = pd.DataFrame(
        {"site": sites, "prior_sd": prior_sd, "posterior_sd": posterior_sd, "contraction": contraction},
        index=density.labels(),
    )
    return Identifiability(table, directions, (contraction_finding(table), *direction_findings(directions)))


def flattest_directions(
    density: "Unconstrained", z: np.ndarray, draws: np.ndarray, *, count: int = DIRECTIONS
) -> tuple[Direction, ...]:
    """The directions with the smallest eigenvalues of the information matrix scaled to a unit diagonal.

    Args:
        density: The model's density; call with double precision on.
        z: The point, shape (d,).
        draws: Draws of the fit, shape (n, d).
        count: How many directions.
    """
    from modelwright.bayesian.inference.curvature import hessian_products

    if density.size < 2:
        return ()
    products = hessian_products(density, z)
    data_information = _data_information(density, z)
    if density.size <= LARGEST_DENSE:
        matrix = products(np.eye(density.size))
        diagonal = np.diagonal(matrix)
        scale = 1.0 / np.sqrt(np.maximum(np.abs(diagonal), 1e-300))
        strength, axes = np.linalg.eigh(0.5 * (matrix + matrix.T) * scale[:, None] * scale)
    else:
        scale = 1.0 / np.sqrt(_diagonal(density, products))
        strength, axes = _lowest(lambda v: scale * products((scale * v)[None])[0], density.size, count)
    found = []
    for k in range(min(count, len(strength))):
        along = axes[:, k]
        step = scale * along
        spread = float(1.0 / np.sqrt(strength[k])) if strength[k] > FLATTEST else np.inf
        reported = float(((draws - z) @ (along / scale)).std())
        total = max(strength[k], 1e-12)
        known = data_information(step)
        prior_share = float(np.clip(1.0 - known / total, 0.0, 1.0))
        shares = {name: float((along[place] ** 2).sum()) for name, place in density.places.items()}
        ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
        signs = {name: _sign(along[place]) for name, place in density.places.items()}
        found.append(Direction(ordered, signs, spread, reported, prior_share))
    return tuple(found)


def contraction_finding(table: pd.DataFrame) -> Finding:
    """The finding on the site about which the data say least: the median over its numbers counts."""
    medians = table.groupby("site", sort=False)["contraction"].median().sort_values()
    value = float(medians.iloc[0])
    grade = thresholds.CONTRACTION.grade(value)
    if grade is Grade.GOOD:
        sentence, advice = f"the data narrow every unknown (least of all {medians.index[0]}, by {value:.0%})", ""
    else:
        open_ones = [name for name, c in medians.items() if thresholds.CONTRACTION.grade(float(c)) is not Grade.GOOD]
        shown = ", ".join(f"{name} ({max(float(medians[name]), 0.0):.0%})" for name in open_ones[:5])
        sentence = f"the data hardly narrow {shown}: what is reported of it is mostly the prior"
        advice = "Read these numbers as prior knowledge; put a prior on them that you would defend, or measure them."
    label = "smallest contraction from prior to posterior"
    return Finding("contraction_min", label, value, grade, thresholds.CONTRACTION.words, sentence, advice)


def direction_findings(directions: Sequence[Direction]) -> tuple[Finding, ...]:
    """What the flattest direction says of the model, and what the fit makes of it."""
    if not directions:
        return ()
    flat = directions[0]
    held_by_prior = flat.prior_share > 0.5
    grade = Grade.WARNING if flat.spread >= thresholds.JOINT_SPREAD.good and held_by_prior else Grade.GOOD
    times = f"{flat.spread:.1f} times" if flat.spread < 1e5 else "without limit over"
    if grade is Grade.GOOD:
        sentence, advice = "no direction is left to the priors alone", ""
    else:
        sentence = (
            f"{flat.words}: along that direction the spread is {times} what each shows by itself, and "
            f"{flat.prior_share:.0%} of what holds it comes from the priors: the data do not determine it"
        )
        advice = (
            "Anchor one of them: an informative prior, a value known from elsewhere, or a parameterisation without it."
        )
    words = "good unless the priors hold most of a direction at least 3 times as wide as its unknowns show one by one"
    value = flat.spread if np.isfinite(flat.spread) else None
    first = Finding("flat_direction", "spread along the flattest direction", value, grade, words, sentence, advice)
    label = "how much too narrow the fit is along a direction"
    curved = [direction for direction in directions if np.isfinite(direction.spread)]
    if not curved:
        sentence = (
            "the density does not fall off along the flattest directions, so the fit's spread has no measure there"
        )
        advice = "Compare with NUTS on a part of the data."
        return first, Finding(
            "guide_spread", label, None, Grade.UNKNOWN, thresholds.JOINT_SPREAD.words, sentence, advice
        )
    narrow = max(curved, key=lambda d: d.spread / max(d.reported, 1e-300))
    factor = narrow.spread / max(narrow.reported, 1e-300)
    grade = thresholds.JOINT_SPREAD.grade(factor)
    if grade is Grade.GOOD:
        sentence, advice = "the fit's spread along the flattest directions is that of the posterior's curvature", ""
    else:
        sentence = (
            f"the fit is too certain where {narrow.words}: its spread there is a {factor:.0f}th part of what the "
            "posterior's curvature gives"
        )
        advice = "Take a guide that is joint over these sites (low rank, or several parameters together), or NUTS."
    second = Finding("guide_spread", label, factor, grade, thresholds.JOINT_SPREAD.words, sentence, advice)
    return first, second


def _data_information(density: "Unconstrained", z: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function from a step to what the data say along it: the sum of squared scores of the observations.

    Along a ridge no observation's density changes, so that this is zero there, even where the Hessian of the log
    likelihood is not since the ridge is curved. Where all data are observed in one number there are no scores one by
    one: what the Hessian has beyond the priors' is taken instead.
    """
    import jax.numpy as jnp
    from numpyro.handlers import seed as seeded
    from numpyro.infer.util import compute_log_probs

    from modelwright.bayesian.inference.curvature import hessian_products
    from modelwright.bayesian.inference.model_sites import find_sites
    from modelwright.bayesian.inference.tracing import TRACING

    observed = list(find_sites(density.model, density.call).observed)
    arrays = density.call.device_arrays()

    def scores(z: Any, step: Any, arrays: Any) -> Any:
        args, kwargs = density.call.arguments(arrays)

        def one_by_one(at: Any) -> Any:
            values = density.constrain(at, arrays)
            latent = {name: values[name] for name in density.shapes}
            run = seeded(density.model, jax.random.key(0))
            found, _ = compute_log_probs(run, args, kwargs, latent, sum_log_prob=False)
            return jnp.concatenate([jnp.reshape(found[name], -1) for name in observed])

        return jax.jvp(one_by_one, (z,), (step,))[1]

    jitted = jax.jit(scores)
    of_all = hessian_products(density, z)
    of_prior = hessian_products(density, z, of_prior=True)

    def along(step: np.ndarray) -> float:
        with TRACING:
            found = np.asarray(jitted(z, step, arrays)) if observed else np.empty(0)
        if len(found) <= len(observed):
            return float(step @ (of_all(step[None])[0] - of_prior(step[None])[0]))
        return float((found**2).sum())

    return along


def _prior_draws(density: "Unconstrained", n: int, seed: int) -> dict[str, np.ndarray]:
    from numpyro.handlers import seed as seeded
    from numpyro.handlers import trace

    from modelwright.bayesian.inference.guide_draws import in_blocks
    from modelwright.core.seeds import named_seed

    def one(arrays: Any, key: Any) -> dict[str, Any]:
        args, kwargs = density.call.arguments(arrays)
        sites = trace(seeded(density.model, key)).get_trace(*args, **kwargs)
        return {name: sites[name]["value"] for name in density.shapes}

    keys = jax.random.split(jax.random.key(named_seed(seed, "prior")), n)
    return dict(in_blocks(one, density.call.device_arrays(), keys))


def _unconstrained(density: "Unconstrained", draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draws mapped to the unconstrained space, shape (n, d), kept finite at the very ends of a support."""
    import jax.numpy as jnp
    from numpyro.infer.util import unconstrain_fn

    from modelwright.bayesian.inference.guide_draws import in_blocks

    def one(arrays: Any, values: Any) -> Any:
        args, kwargs = density.call.arguments(arrays)
        found = unconstrain_fn(density.model, args, kwargs, values)
        return jnp.concatenate([jnp.reshape(found[name], -1) for name in density.shapes])

    doubled = {name: np.asarray(values, np.float64) for name, values in draws.items()}
    z = np.asarray(in_blocks(one, density.call.device_arrays(), doubled))
    return np.nan_to_num(z, posinf=1e3, neginf=-1e3)


def _robust_sd(draws: np.ndarray) -> np.ndarray:
    """Half the width of the central 68 %: a standard deviation that a heavy tail does not stretch."""
    low, high = np.quantile(draws, [0.15866, 0.84134], axis=0)
    return 0.5 * (high - low)


def _diagonal(density: "Unconstrained", products: Any) -> np.ndarray:
    """The diagonal of the information matrix, from probes that are random signs on one site each.

    Exact where the numbers of a site do not depend on each other given the rest; otherwise averaged over four probes.
    """
    generator = np.random.default_rng(0)
    probes = np.zeros((4 * len(density.shapes), density.size))
    for k, place in enumerate(density.places.values()):
        rows = slice(4 * k, 4 * k + 4)
        probes[rows, place] = generator.choice([-1.0, 1.0], size=(4, place.stop - place.start))
    found = probes * products(probes)
    estimate = found.sum(0) / 4.0
    typical = np.median(np.abs(estimate)) or 1.0
    return np.maximum(np.abs(estimate), 1e-6 * typical)


def _lowest(product: Any, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    try:
        strength, axes = eigsh(operator, k=count, which="SA", ncv=40, maxiter=15, tol=1e-2, v0=start)
    except ArpackNoConvergence as stopped:  # what has converged is right; the rest is not told apart from noise
        strength, axes = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(strength)
    return strength[order], axes[:, order]


def _sign(numbers: np.ndarray) -> int:
    """1 or -1 where nine tenths of the weight have that sign."""
    positive = float((numbers[numbers > 0] ** 2).sum() / max((numbers**2).sum(), 1e-300))
    return 1 if positive > 0.9 else -1 if positive < 0.1 else 0


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
