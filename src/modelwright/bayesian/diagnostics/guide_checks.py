"""Whether a guide can be trusted: has the ELBO settled, did every parameter move, does it cover the posterior."""

import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from modelwright.bayesian.diagnostics import thresholds
from modelwright.bayesian.inference.pareto_smoothing import smoothed_weights
from modelwright.core.verdict import Finding, Grade

if TYPE_CHECKING:
    from modelwright.bayesian.inference.map_laplace import LaplaceFit
    from modelwright.bayesian.inference.variational_fit import VariationalFit

TAIL = 0.25
"""Share of the steps that a plateau is judged by (arbitrary)."""

BATCHES = 20
"""Batches of the tail whose means the slope is fitted to, so that noise from step to step averages out."""

DRAWS = 1000
"""Draws that k-hat rests on."""

LARGEST_WORK = 300_000_000
"""Densities of single observations that k-hat may take, draws times observations: a minute or two on one core."""

FEWEST_DRAWS = 200
"""Draws below which k-hat is not computed: its tail is a fifth of them."""

_K_HAT = "k-hat of the guide against the model"


def check_variational_fit(fit: "VariationalFit") -> tuple[Finding, ...]:
    """All findings about a fitted guide, what the data leave open included."""
    from modelwright.bayesian.diagnostics.identifiability import identify

    return (
        ended(fit.ended, interrupted=fit.interrupted),
        plateau(fit.elbo),
        skipped(fit.elbo),
        gradient_reach(fit.touched),
        k_hat_of(fit),
        *identify(fit).findings,
    )


def check_laplace_fit(fit: "LaplaceFit") -> tuple[Finding, ...]:
    """All findings about a normal approximation."""
    from modelwright.bayesian.diagnostics.identifiability import identify

    return (at_mode(fit), k_hat_of(fit), *identify(fit).findings)


def ended(sentence: str, *, interrupted: bool) -> Finding:
    """The finding on whether a fit came to its own end."""
    grade = Grade.WARNING if interrupted else Grade.GOOD
    advice = "Fit again, or go on from the checkpoint where one was written." if interrupted else ""
    return Finding("ended", "end of the fit", None, grade, "good unless interrupted", sentence, advice)


def plateau(elbo: np.ndarray) -> Finding:
    """The finding on the slope of the ELBO over the last quarter of the steps.

    The tail is cut into batches; a line is fitted to their means. What counts is the gain that the slope promises over
    as many steps again, where it is beyond two of its standard errors.

    Args:
        elbo: ELBO of every step, shape (step,); NaN where a step was left out.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=2000)
        >>> str(plateau(noise).grade), str(plateau(noise + 0.1 * np.arange(2000)).grade)
        ('good', 'problem')
    """
    name, label = "elbo_plateau", "gain of the ELBO still to come"
    tail = elbo[-max(2 * BATCHES, round(TAIL * len(elbo))) :]
    tail = tail[np.isfinite(tail)]
    if len(tail) < 2 * BATCHES:
        sentence = f"{len(tail)} usable steps are too few to tell whether the ELBO has settled"
        advice = f"Make at least {2 * BATCHES} steps; some hundreds are usual."
        return Finding(name, label, None, Grade.UNKNOWN, thresholds.ELBO_GAIN.words, sentence, advice)
    size = len(tail) // BATCHES
    means = tail[-size * BATCHES :].reshape(BATCHES, size).mean(1)
    at = np.arange(BATCHES) - 0.5 * (BATCHES - 1)
    slope = float(at @ means / (at @ at))
    residual = means - means.mean() - slope * at
    error = math.sqrt(float(residual @ residual) / (BATCHES - 2) / float(at @ at))
    gain = slope * BATCHES
    rising = slope > thresholds.ELBO_SLOPE_ERRORS * error
    grade = thresholds.ELBO_GAIN.grade(gain) if rising else Grade.GOOD
    if grade is Grade.GOOD:
        sentence, advice = "the ELBO has settled", ""
    else:
        sentence = f"the ELBO still rises: {gain:.1f} nats over as many steps as its last {len(tail)}"
        advice = "Make more steps (twice as many), or raise learning_rate while the rise is steady."
    return Finding(name, label, gain if rising else 0.0, grade, thresholds.ELBO_GAIN.words, sentence, advice)


def skipped(elbo: np.ndarray) -> Finding:
    """The finding on the share of steps that were left out since loss or gradient was not finite."""
    count = int((~np.isfinite(elbo)).sum())
    share = count / len(elbo) if len(elbo) else 0.0
    grade = thresholds.SKIPPED_STEPS.grade(share)
    if count == 0:
        sentence, advice = "loss and gradient were finite at every step", ""
    else:
        sentence = f"{count} of {len(elbo)} steps were left out: loss or gradient was not finite"
        advice = "Lower learning_rate, give start values near the data, or compute in float64 (precision)."
    return Finding(
        "steps_skipped", "share of steps left out", share, grade, thresholds.SKIPPED_STEPS.words, sentence, advice
    )


def gradient_reach(touched: Any) -> Finding:
    """The finding on parameters that never received a gradient other than zero.

    Args:
        touched: Parameter -> for each of its numbers, whether it did; trees of arrays are taken apart.

    Example:
        >>> found = gradient_reach({"loc": np.array([True, True]), "scale": np.array([True, False])})
        >>> found.value, found.sentence
        (1, '1 of 4 numbers never received a gradient: scale (1 of 2)')
    """
    counts = {name: _untouched(tree) for name, tree in touched.items()}
    missing = sum(none for none, _ in counts.values())
    total = sum(size for _, size in counts.values())
    grade = thresholds.UNTOUCHED.grade(missing)
    if missing == 0:
        sentence, advice = f"all {total} numbers of the guide received gradients", ""
    else:
        named = ", ".join(f"{name} ({none} of {size})" for name, (none, size) in counts.items() if none)
        sentence = f"{missing} of {total} numbers never received a gradient: {named}"
        advice = (
            "They stand where they began. Use them in the guide, or leave them out; with mini-batches make enough "
            "steps that every row is drawn."
        )
    label = "numbers without a gradient"
    return Finding("gradient_reach", label, missing, grade, thresholds.UNTOUCHED.words, sentence, advice)


def k_hat_of(fit: "VariationalFit | LaplaceFit") -> Finding:
    """The finding on k-hat of a fit, from as many draws as can be looked at in minutes; unknown where these are few."""
    from modelwright.bayesian.diagnostics.data_information import observed_shapes
    from modelwright.bayesian.inference.unconstrained import Unconstrained

    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        shapes = observed_shapes(Unconstrained.of(fit.fitted.model, fit.fitted.call))
    rows = sum(math.prod(shape) for shape in shapes.values())
    draws = min(DRAWS, LARGEST_WORK // max(rows, 1))
    if draws >= FEWEST_DRAWS:
        return guide_k_hat(*fit.log_ratios(draws))
    sentence = (
        f"k-hat was not computed: {FEWEST_DRAWS} densities of {rows:,} observations each take very long, and fewer say "
        "nothing of a tail"
    )
    advice = "Fit the same model to a random part of the data, and look there; or judge by held-out bounds."
    words = thresholds.GUIDE_K_HAT.words
    return Finding("guide_k_hat", _K_HAT, None, Grade.UNKNOWN, words, sentence, advice)


def guide_k_hat(of_model: np.ndarray, of_guide: np.ndarray) -> Finding:
    """The finding on the Pareto shape of the importance ratios of the model against the guide.

    Args:
        of_model: log p(y, z) at draws of the guide, shape (draw,).
        of_guide: log q(z) there.

    Source: Y. Yao, A. Vehtari, D. Simpson, A. Gelman (2018), https://proceedings.mlr.press/v80/yao18a.html.

    Example:
        >>> z = np.random.default_rng(1).normal(size=2000)
        >>> small = 0.2 * z
        >>> str(guide_k_hat(-0.5 * z**2, -0.5 * z**2).grade), str(guide_k_hat(-0.5 * small**2, -0.5 * z**2).grade)
        ('good', 'problem')
    """
    name, label, words = "guide_k_hat", _K_HAT, thresholds.GUIDE_K_HAT.words
    ratios = np.asarray(of_model, np.float64) - np.asarray(of_guide, np.float64)
    usable = np.isfinite(ratios)
    if np.isnan(ratios).any() or not usable.any():
        sentence = f"the density of model or guide is not a number at {int(np.isnan(ratios).sum())} of its draws"
        return Finding(name, label, None, Grade.PROBLEM, words, sentence, "Compute in float64; check the supports.")
    _, k_hat = smoothed_weights(np.where(usable, ratios, ratios[usable].min() - 700.0)[None])
    value = float(k_hat[0])
    grade = thresholds.GUIDE_K_HAT.grade(value)
    if grade is Grade.GOOD:
        sentence, advice = f"the guide covers the posterior: k-hat {value:.2f}", ""
    else:
        shown = f"{value:.2f}" if math.isfinite(value) else "infinite"
        sentence = f"the guide misses part of the posterior: k-hat of its importance ratios is {shown}"
        advice = (
            "Means may still be good, intervals need not be: take a guide with correlations (low rank, or a flow), or "
            "compare with NUTS on a part of the data."
        )
    return Finding(name, label, value if math.isfinite(value) else None, grade, words, sentence, advice)


def at_mode(fit: "LaplaceFit") -> Finding:
    """The finding on whether a normal approximation stands at a mode."""
    name, label, words = "at_mode", "nats below the mode", "good below 0.01 nats and with curvature everywhere"
    below = 0.5 * float(fit.gradient**2 @ fit.curvature.variances())
    floored = fit.curvature.floored
    if below < 0.01 and not floored:
        return Finding(name, label, below, Grade.GOOD, words, "the climb ended at a mode")
    if floored:
        sentence = f"the density does not fall off in {floored} directions where the climb ended"
        advice = "Put stronger priors on what the data leave open, or sample with NUTS."
    else:
        sentence = f"the climb ended about {below:.2g} nats below a mode"
        advice = "Allow more iterations, or give start values nearer to the data."
    return Finding(name, label, below, Grade.PROBLEM, words, sentence, advice)


def _untouched(tree: Any) -> tuple[int, int]:
    if isinstance(tree, dict):
        parts = [_untouched(branch) for branch in tree.values()]
        return sum(none for none, _ in parts), sum(size for _, size in parts)
    flags = np.asarray(tree)
    return int((~flags).sum()), flags.size
