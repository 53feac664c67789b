"""What the data leave open: unknowns that stay as their priors say, and directions in which several move together.

Two tables. *Contraction*: how much narrower an unknown is after seeing the data than before. *Directions*: unknowns can
move together at hardly any cost. Looked at one by one they seem well known; along the direction they are not. What
holds them there may be the data after all, or nothing but the priors: then only an anchor helps (a known total, a prior
that says something). See `flat_directions` for how they are found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics import thresholds
from modelwright.bayesian.diagnostics.data_information import data_information, observed_shapes
from modelwright.bayesian.diagnostics.flat_directions import LARGEST_DENSE, Direction, flattest_directions
from modelwright.bayesian.diagnostics.ridges import likelihood_ridges
from modelwright.bayesian.diagnostics.row_blocks import lie_along
from modelwright.core.errors import ConfigurationError
from modelwright.core.verdict import Finding, Grade

if TYPE_CHECKING:
    from modelwright.bayesian.inference.fit_result import AbstractFit
    from modelwright.bayesian.inference.unconstrained import Unconstrained

DRAWS = 400
"""Draws of prior and posterior: standard deviations are known to 4 %."""

LARGEST_INTERTWINED = 100_000
"""Observations up to which directions are looked for where each sees several numbers of a site at once, as behind a
network: hundreds of products with derivatives of all of them, at about half a microsecond each."""

_FLAT, _NARROW = "spread along the flattest direction", "how much too narrow the fit is along a direction"
_FLAT_WORDS = (
    "good unless no observation notices a direction, or the priors hold most of one at least 3 times as wide as its "
    "unknowns show one by one"
)


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the data leave open.

    Args:
        table: A row per number: site, prior_sd, posterior_sd (both unconstrained), contraction.
        directions: The directions in which the posterior's curvature is smallest, the flattest first.
        ridges: The steps that no observation notices, the widest first; none where observations cannot be looked at
            one by one.
        findings: What they say.
    """

    table: pd.DataFrame
    directions: tuple[Direction, ...]
    ridges: tuple[Direction, ...]
    findings: tuple[Finding, ...]

    def directions_table(self) -> pd.DataFrame:
        """A row per direction: ridges of the likelihood, then directions of the posterior's curvature."""
        found = [("likelihood", each) for each in self.ridges] + [("posterior", each) for each in self.directions]
        return pd.DataFrame(
            {
                "flat_in": [name for name, _ in found],
                "direction": [d.words for _, d in found],
                "spread": [d.spread for _, d in found],
                "reported": [d.reported for _, d in found],
                "prior_share": [d.prior_share for _, d in found],
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
        model: A model of the same density that observes its data one by one: what they say along a curved ridge is
            told from single observations only. By default the one that the fitted model names, or that model itself.

    Of very large models behind networks directions are not looked for (see `LARGEST_INTERTWINED`), and what is said of
    them is that they are not known.

    Source: A. Raue et al. (2009), https://doi.org/10.1093/bioinformatics/btp358 (directions that data leave open); D.
    Schad, M. Betancourt, S. Vasishth (2021), https://arxiv.org/abs/1904.12765 (contraction).
    """
    from modelwright.bayesian.inference.data_models import observing_one_by_one
    from modelwright.bayesian.inference.unconstrained import Unconstrained

    subject = fit.subject
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        density = Unconstrained.of(subject.model, subject.call)
        sampled = fit.sample(draws, seed, sites=tuple(density.shapes))
        posterior = _unconstrained(density, {name: sampled[name] for name in density.shapes})
        prior = _unconstrained(density, _prior_draws(density, draws, seed))
        prior_sd, posterior_sd = _robust_sd(prior), _robust_sd(posterior)
        shapes = observed_shapes(density)
        rows = sum(int(np.prod(shape)) for shape in shapes.values())
        too_large = density.size > LARGEST_DENSE and rows > LARGEST_INTERTWINED and not lie_along(density, shapes)
        directions: tuple[Direction, ...] = ()
        ridges: tuple[Direction, ...] = ()
        if not too_large:
            middle = posterior.mean(0)
            try:
                seen = Unconstrained.of(model or observing_one_by_one(subject.model), subject.call)
                information = data_information(seen, middle, seed=seed)
            except ConfigurationError:  # data that are kept summed up only
                information = None
            directions = flattest_directions(density, middle, posterior, information=information)
            if information is not None:
                ridges = likelihood_ridges(density, information, prior_sd, middle, posterior)
    contraction = 1.0 - (posterior_sd / np.maximum(prior_sd, 1e-300)) ** 2
    sites = [name for name, place in density.places.items() for _ in range(place.stop - place.start)]
    table = pd.DataFrame(
        {"site": sites, "prior_sd": prior_sd, "posterior_sd": posterior_sd, "contraction": contraction},
        index=density.labels(),
    )
    of_directions = not_looked_for(density.size, rows) if too_large else direction_findings(directions, ridges)
    findings = (contraction_finding(table), *of_directions)
    return Identifiability(table, directions, ridges, findings)


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


def not_looked_for(unknowns: int, rows: int) -> tuple[Finding, ...]:
    """The findings on directions that were not looked for, since each of hundreds of steps would pass over all rows.

    Args:
        unknowns: Numbers of the model.
        rows: Its observations.

    Example:
        >>> [str(finding.grade) for finding in not_looked_for(44_710, 8_542_000)]
        ['unknown', 'unknown']
    """
    sentence = (
        f"flat directions were not looked for: each of {rows:,} observations sees several of {unknowns:,} unknowns at "
        f"once, and above {LARGEST_INTERTWINED:,} that takes tens of minutes"
    )
    advice = "Fit the same model to a random part of the data (some hundred rows), and look there."
    return (
        Finding("flat_direction", _FLAT, None, Grade.UNKNOWN, _FLAT_WORDS, sentence, advice),
        Finding("guide_spread", _NARROW, None, Grade.UNKNOWN, thresholds.JOINT_SPREAD.words, sentence, advice),
    )


def direction_findings(directions: Sequence[Direction], ridges: Sequence[Direction] = ()) -> tuple[Finding, ...]:
    """What the widest direction that the priors alone hold says of the model, and what the fit makes of its directions.

    Args:
        directions: Of the posterior's curvature, the flattest first.
        ridges: Of the likelihood, the widest first.
    """
    if not directions and not ridges:
        return ()
    held = [each for each in directions if each.prior_share > 0.5]
    flat = max(ridges or held or directions, key=lambda each: each.spread)
    wide = bool(held) and flat.spread >= thresholds.JOINT_SPREAD.good
    grade = Grade.WARNING if ridges or wide else Grade.GOOD
    times = f"{flat.spread:.1f} times" if flat.spread < 1e5 else "without limit over"
    if grade is Grade.GOOD:
        sentence, advice = "no direction is left to the priors alone", ""
    else:
        unnoticed = ", and no observation notices" if ridges else ""
        sentence = (
            f"{flat.words}{unnoticed}: along that direction the spread is {times} what each shows by itself (in this "
            f"fit {flat.reported:.1f} times), and {flat.prior_share:.0%} of what holds it comes from the priors: the "
            "data do not determine it"
        )
        advice = (
            "Anchor one of them: an informative prior, a value known from elsewhere, or a parameterisation without it. "
            "Where a prior is meant to fix it, as a convention, read the others as relative to that."
        )
    value = flat.spread if np.isfinite(flat.spread) else None
    first = Finding("flat_direction", _FLAT, value, grade, _FLAT_WORDS, sentence, advice)
    curved = [direction for direction in directions if np.isfinite(direction.spread)]
    if not curved:
        sentence = (
            "the density does not fall off along the flattest directions, so the fit's spread has no measure there"
            if directions
            else "no direction of small curvature was found, so the fit's spread was not compared with any"
        )
        advice = "Compare with NUTS on a part of the data."
        return first, Finding(
            "guide_spread", _NARROW, None, Grade.UNKNOWN, thresholds.JOINT_SPREAD.words, sentence, advice
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
    second = Finding("guide_spread", _NARROW, factor, grade, thresholds.JOINT_SPREAD.words, sentence, advice)
    return first, second


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
