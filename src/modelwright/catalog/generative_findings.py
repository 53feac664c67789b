"""What the verdict on a trained generative model says: its course, its held-out loss, its figure, its latent."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from modelwright.catalog.generative_data import conditions, prepared
from modelwright.core.verdict import Finding, Grade
from modelwright.data.examples import Examples
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training import Fit
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.report import LatentReport, latent_report
from modelwright.modalities import AdaptedModel
from modelwright.zoo import ZooEntry

RISE = 0.01
"""Nats for each number of an example by which the held-out loss may end above its best."""

LOOKED_AT = 4096
"""Examples that tell whether a latent is used."""

ACTIVE_SHARE = 0.1
"""Share of the latent's numbers that must be active; where fewer are, the posterior has collapsed, or nearly so."""


def figures_of(nats: float, error: float, size: int, *, is_text: bool) -> dict[str, tuple[float, float]]:
    """Name -> figure and standard error: nats for each example, and the same for each of its numbers.

        bits_per_dim = nats / (size log 2)      nats_per_symbol = nats / size

    The errors are divided by what the figures are divided by, whatever the sign of the figure: densities above 1 have
    negative nats.

    Args:
        nats: Minus the mean log probability of an example.
        error: Its standard error, nats.
        size: Numbers, or symbols, of an example.
        is_text: Whether they are symbols.

    Example:
        >>> figures_of(-6.0, 0.25, 2, is_text=True)
        {'nats': (-6.0, 0.25), 'nats_per_symbol': (-3.0, 0.125)}
    """
    name, divisor = ("nats_per_symbol", float(size)) if is_text else ("bits_per_dim", size * math.log(2.0))
    return {"nats": (nats, error), name: (nats / divisor, error / divisor)}


def course_finding(fit: Fit, remedy: str | None) -> Finding:
    """Whether every update was finite.

    Args:
        fit: The training.
        remedy: Of its model, for a training that diverged.
    """
    threshold = "good when every update was finite and the training ran to its end"
    if fit.ended == "diverged":
        sentence = f"{fit.skipped} updates were not finite, and the training was stopped"
        own = f", or {remedy}" if remedy else ""
        advice = f"Take a smaller learning rate, or clip the gradient{own}."
        return Finding("course", "updates left out", fit.skipped, Grade.PROBLEM, threshold, sentence, advice)
    if fit.skipped:
        sentence = f"{fit.skipped} updates were not finite and were left out"
        advice = "A smaller learning rate, or a clipped gradient, may avoid it."
        return Finding("course", "updates left out", fit.skipped, Grade.WARNING, threshold, sentence, advice)
    ended = "stopped where the held-out loss no longer fell" if fit.ended == "early" else "ran to its end"
    return Finding("course", "updates left out", 0, Grade.GOOD, threshold, f"the training {ended}")


def held_out_finding(fit: Fit, size: int, error: float) -> Finding:
    """Whether the held-out loss ended near its best.

    Judged by the rise itself, in nats for each number of an example: the zero of a density depends on the units of the
    data, so that shares of the loss say nothing.

    Args:
        fit: The training.
        size: Numbers of an example.
        error: Standard error of the mean of the held-out loss, nats per example.
    """
    allowed = max(2.0 * error / size, RISE)
    threshold = (
        f"good while the last held-out loss is within two standard errors, or {RISE:g} nats per number of an example, "
        "of the best"
    )
    label = "last held-out loss above the best, nats per number"
    if fit.best is None:
        sentence = "no data were held out, so nothing is known of how it does on new ones"
        return Finding("held_out", label, None, Grade.UNKNOWN, threshold, sentence, "Hold some data out.")
    best, last = fit.best[1], fit.evaluations[-1][1]
    rise = (last - best) / size
    if not (math.isfinite(rise) and math.isfinite(allowed)):
        sentence = "the held-out loss, or its standard error, is not finite"
        return Finding("held_out", label, None, Grade.UNKNOWN, threshold, sentence, "Take a smaller learning rate.")
    if rise > allowed and fit.ended != "early":
        sentence = f"the held-out loss rose again, from {best:.4g} at step {fit.best[0]} to {last:.4g}: overfitting"
        advice = "Train with patience, with fewer steps, more data, or units left out."
        return Finding("held_out", label, rise, Grade.WARNING, threshold, sentence, advice)
    return Finding("held_out", label, rise, Grade.GOOD, threshold, f"the held-out loss ended at {last:.4g} nats")


def figure_finding(
    entry: ZooEntry, data: str, figures: Mapping[str, tuple[float, float]], own: Sequence[str]
) -> Finding:
    """Whether the figure that an entry of the zoo states is reached.

    By the tolerance alone: the held-out examples of an entry are always the same, so that how much they differ among
    each other is no reason for another figure. One that is much better is a warning: a likelihood that has lost a
    constant looks like that.

    Args:
        entry: The entry.
        data: Name of the set, or the file, that it was trained on.
        figures: As of `figures_of`.
        own: Settings that differ from those of the entry.
    """
    expected = entry.expected
    threshold = "good within the tolerance of the entry's figure, a warning when it is better by more"
    label = "held-out figure"
    reason = None
    if expected.construction_only is not None:
        reason = f"no figure is known for this entry: {expected.construction_only}"
    elif own:
        reason = f"the entry's figure is for its own settings, and {', '.join(own)} differ"
    elif Path(str(expected.data)).name != data:
        reason = f"the entry's figure is for {expected.data}"
    value, error = figures.get(str(expected.metric), (None, None))
    if reason is not None or value is None or error is None:
        sentence = reason or "its figure was not measured"
        return Finding("figure", label, value, Grade.UNKNOWN, threshold, sentence, "")
    stated, within = float(expected.value or 0.0), float(expected.tolerance or 0.0)
    worse = value - stated
    words = f"{value:.4g} +- {error:.2g} {expected.metric}, expected {stated:g} within {within:g}"
    if not worse <= within:  # a figure that is no number is not reached either
        advice = "Compare versions and data with the entry; modelwright zoo verify trains it anew."
        return Finding("figure", label, value, Grade.PROBLEM, threshold, f"the figure is not reached: {words}", advice)
    if worse < -within:
        advice = "See what modelwright certify says: a likelihood that has lost a constant looks like this."
        sentence = f"the figure is better than stated: {words}"
        return Finding("figure", label, value, Grade.WARNING, threshold, sentence, advice)
    return Finding("figure", label, value, Grade.GOOD, threshold, f"the figure is reached: {words}")


def no_figure_finding(reason: str) -> Finding:
    """That there is no held-out figure, where the model cannot give one.

    Args:
        reason: Why, half a sentence.
    """
    threshold = "good within the tolerance of the entry's figure, where the model gives one"
    return Finding("figure", "held-out figure", None, Grade.UNKNOWN, threshold, f"no figure: {reason}", "")


def latent_finding(report: LatentReport) -> Finding:
    """Whether the latent of an autoencoder says anything of the examples.

    Args:
        report: What each number of the latent carries.

    Source: Y. Burda, R. Grosse, R. Salakhutdinov (2016), https://arxiv.org/abs/1509.00519, section 5.2.
    """
    n = len(report.active)
    label = "active numbers of the latent"
    threshold = f"good when at least one, and {ACTIVE_SHARE:.0%} of them, vary with the example"
    if report.n_active >= max(1.0, ACTIVE_SHARE * n):
        return Finding("latent", label, report.n_active, Grade.GOOD, threshold, str(report))
    advice = (
        "Let the weight of the divergence grow from 0 (warm_up_steps of a BetaVAE), take a smaller kl_weight or beta, "
    )
    advice += "a smaller latent, or a weaker decoder."
    return Finding("latent", label, report.n_active, Grade.WARNING, threshold, str(report), advice)


def latent_findings(model: AbstractGenerativeModel, part: Examples) -> tuple[Finding, ...]:
    """Of an autoencoder with a normal latent, whether it is used, on examples held out; of others nothing."""
    inner = model.inner if isinstance(model, AdaptedModel) else model
    if not isinstance(inner, AbstractAutoencoder):
        return ()
    x = jnp.asarray(prepared(model, part)[:LOOKED_AT])
    if isinstance(model, AdaptedModel):
        x, _ = model.codec.encode(x, jax.random.key(0))
    cond = conditions(model, part)
    report = latent_report(inner, x, cond=None if cond is None else jnp.asarray(cond[: len(x)]))
    return (latent_finding(report),)
