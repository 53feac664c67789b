"""The sentences of the convergence verdict: what each statistic means here, and what to do about it."""

import math
from dataclasses import dataclass

from modelwright.bayesian.diagnostics import thresholds
from modelwright.core.verdict import Finding, Grade


@dataclass(frozen=True)
class Draws:
    """How many draws the statistics rest on.

    Args:
        n_chains: Chains. n_draws: Draws per chain.
    """

    n_chains: int
    n_draws: int

    @property
    def total(self) -> int:
        """Draws of all chains."""
        return self.n_chains * self.n_draws


def r_hat(value: float | None, parameter: str | None, draws: Draws, *, troubled: bool, tuned: bool = True) -> Finding:
    """The finding on the largest R-hat.

    Args:
        value: The largest R-hat, None where it could not be had.
        parameter: Where it was found.
        draws: How many there are.
        troubled: Whether divergences or energies show a difficult geometry.
        tuned: Whether the sampler has a warm-up that could be longer.
    """
    grade = thresholds.R_HAT.grade(value)
    if value is None:
        sentence, advice = _why_no_ranks("R-hat", parameter, draws, needs_two_chains=True)
    elif grade is Grade.GOOD:
        sentence, advice = f"the chains agree: R-hat is at most {value:.4f} (at {parameter})", ""
    else:
        shown = f"{value:.3f}" if value < 100 else "above 100"
        sentence = f"the chains disagree on {parameter}: R-hat {shown}"
        if troubled:
            advice = (
                f"Reparameterise {parameter} (a non-centred form where the data say little, a centred one where they "
                "say much), then sample again with a higher target_accept."
            )
        elif grade is Grade.PROBLEM:
            first = "Tune longer and take more draws" if tuned else "Take more draws"
            advice = (
                f"{first}; if the chains still stay apart on {parameter}, the posterior may "
                "have several modes or be nearly flat: put a stronger prior on it or reparameterise."
            )
        else:
            advice = f"Take more draws (twice as many is a good first step), since {parameter} has not quite settled."
    return Finding("r_hat_max", "largest R-hat", value, grade, thresholds.R_HAT.words, sentence, advice)


def effective_size(part: str, value: float | None, parameter: str | None, draws: Draws) -> Finding:
    """The finding on the smallest effective sample size of the `part` ("bulk" or "tail") of the posterior."""
    grade = thresholds.ESS.grade(value)
    touched = {"bulk": "means and medians", "tail": "intervals and tail probabilities"}[part]
    if value is None:
        sentence, advice = _why_no_ranks("ESS", parameter, draws, needs_two_chains=False)
    elif grade is Grade.GOOD:
        sentence, advice = f"{touched} rest on at least {value:.0f} independent draws (at {parameter})", ""
    else:
        sentence = f"{touched} of {parameter} rest on only {value:.0f} independent draws of {draws.total}"
        wanted = _round_up(draws.n_draws * thresholds.ESS.good / max(value, 1.0))
        advice = f"Take more draws: about {wanted} per chain would give {parameter} an ESS of 400."
        if grade is Grade.PROBLEM:
            advice = (
                f"Reparameterise {parameter} or put a stronger prior on it: its draws hardly move; taking more draws "
                f"alone would need about {wanted} per chain."
            )
    label = f"smallest {part} ESS"
    return Finding(f"ess_{part}_min", label, value, grade, thresholds.ESS.words, sentence, advice)


def divergences(count: int | None, draws: Draws) -> Finding:
    """The finding on the divergent transitions."""
    grade = thresholds.DIVERGENCES.grade(count)
    if count is None:
        sentence, advice = "divergences are unknown: the trace stores none", "Store `diverging` while sampling."
    elif count == 0:
        sentence, advice = "no divergent transitions", ""
    else:
        verb = "transition" if count == 1 else "transitions"
        sentence = (
            f"{count} divergent {verb} in {draws.total} draws: the sampler could not follow the posterior everywhere"
        )
        advice = "Raise target_accept (0.95, then 0.99) and sample again; if divergences stay, reparameterise."
        if grade is Grade.PROBLEM:
            advice = (
                "Reparameterise (non-centred where the data say little) and raise target_accept to 0.95 or more; if "
                "divergences stay, put stronger priors on the scale parameters."
            )
    return Finding("divergences", "divergences", count, grade, thresholds.DIVERGENCES.words, sentence, advice)


def saturation(share: float | None, draws: Draws) -> Finding:
    """The finding on the share of draws whose trajectory reached the largest tree depth."""
    grade = thresholds.SATURATION.grade(share)
    if share is None:
        sentence = "tree depth is unknown: the trace does not say whether the largest was reached"
        advice = "Store `reached_max_tree_depth` while sampling."
    elif share == 0:
        sentence, advice = "no trajectory was cut short", ""
    else:
        count = round(share * draws.total)
        sentence = f"{count} of {draws.total} trajectories ({share:.1%}) were cut short at the largest tree depth"
        advice = (
            "Raise max_tree_depth by one or two; if trajectories stay long, tune longer, reparameterise or put "
            "stronger priors on parameters that the data leave open."
        )
    return Finding(
        "tree_depth_saturation",
        "draws at the largest tree depth",
        share,
        grade,
        thresholds.SATURATION.words,
        sentence,
        advice,
    )


def energy(value: float | None, chain: str | None) -> Finding:
    """The finding on the smallest E-BFMI."""
    grade = thresholds.BFMI.grade(value)
    if value is None:
        where = f" of {chain} do not move or are not finite" if chain else " are not stored"
        sentence, advice = f"E-BFMI is unknown: the energies{where}", "Store `energy` while sampling."
    elif grade is Grade.GOOD:
        sentence, advice = f"the energies mix: E-BFMI is at least {value:.2f}", ""
    else:
        sentence = f"the sampler explores energies slowly ({chain}: E-BFMI {value:.2f}), so tails may be missed"
        advice = (
            "Reparameterise so that scales and what they scale are independent, or put stronger priors on the scale "
            "parameters; more tuning helps when the warm-up was short."
        )
    return Finding("bfmi_min", "smallest E-BFMI", value, grade, thresholds.BFMI.words, sentence, advice)


def proposal_k_hat(value: float | None) -> Finding:
    """The finding on the Pareto shape of the importance weights between the posterior and the proposal."""
    grade = thresholds.PROPOSAL_K_HAT.grade(value)
    if value is None or math.isnan(value):
        value, sentence = None, "how well the proposal covers the posterior is unknown: the trace stores no k-hat"
        advice = "Store `k_hat` while sampling."
    elif grade is Grade.GOOD:
        sentence, advice = f"the proposal covers the posterior: k-hat of the importance weights is {value:.2f}", ""
    else:
        shown = f"{value:.2f}" if math.isfinite(value) else "infinite"
        value = value if math.isfinite(value) else None
        sentence = f"the proposal misses part of the posterior: k-hat of the importance weights is {shown}"
        advice = (
            "Do not rely on these draws: sample with NUTS, or put stronger priors on parameters that the data leave "
            "open."
        )
    label = "k-hat of the proposal"
    return Finding("proposal_k_hat", label, value, grade, thresholds.PROPOSAL_K_HAT.words, sentence, advice)


def acceptance(value: float | None, chain: str | None, draws: Draws) -> Finding:
    """The finding on the share of independent proposals that were accepted, in the chain where it is smallest."""
    grade = thresholds.ACCEPTANCE.grade(value)
    if value is None:
        where = f" of {chain} are not finite" if chain else " are not stored"
        sentence, advice = f"acceptance is unknown: the rates{where}", "Store `acceptance_rate` while sampling."
    elif grade is Grade.GOOD:
        sentence, advice = f"at least {value:.0%} of the proposals were accepted in every chain", ""
    else:
        share = f"{value:.1%}" if value else "none"
        sentence = f"only {share} of the proposals were accepted in {chain}" if value else f"{chain} never moved"
        wanted = _round_up(draws.n_draws * thresholds.ACCEPTANCE.good / max(value, 0.01))
        advice = (
            f"The posterior is further from the proposal than it should be: take more draws (about {wanted} per "
            "chain), sample with NUTS, or put stronger priors on parameters that the data leave open."
        )
    label = "smallest acceptance rate"
    return Finding("acceptance_rate_min", label, value, grade, thresholds.ACCEPTANCE.words, sentence, advice)


def non_finite(count: int, parameter: str | None, draws: Draws) -> Finding:
    """The finding on draws that are infinite or not a number."""
    grade = thresholds.NON_FINITE.grade(count)
    sentence, advice = "every draw is a finite number", ""
    if count:
        sentence = f"{count} draws are infinite or not a number (most of them at {parameter})"
        advice = f"Look for an overflow or a division by zero in {parameter}; stronger priors keep it in range."
    return Finding(
        "non_finite", "draws that are not finite", count, grade, thresholds.NON_FINITE.words, sentence, advice
    )


def constant(count: int, parameters: list[str]) -> Finding:
    """The finding on parameters whose draws are all the same: nothing can be said about them."""
    shown = ", ".join(parameters[:3]) + (" and others" if count > len(parameters[:3]) else "")
    sentence = f"{count} of the parameters never move ({shown}), so R-hat and ESS say nothing about them"
    advice = f"If {parameters[0]} is not fixed by the model, look why the sampler cannot move it."
    words = "unknown above 0"
    return Finding("constant_parameters", "parameters that never move", count, Grade.UNKNOWN, words, sentence, advice)


def _why_no_ranks(what: str, parameter: str | None, draws: Draws, *, needs_two_chains: bool) -> tuple[str, str]:
    if draws.n_draws < 4:
        return f"{what} is unknown: {draws.n_draws} draws per chain are too few", "Take more draws: 1000 per chain."
    if needs_two_chains and draws.n_chains < 2:
        return f"{what} is unknown: one chain cannot disagree with itself", "Sample at least 4 chains."
    if parameter is not None:
        return (
            f"{what} of {parameter} is unknown: it hardly ever moves",
            f"Look why the sampler cannot move {parameter}.",
        )
    return f"{what} is unknown: no parameter has draws that move and are finite", "Look at the trace and at the model."


def _round_up(draws: float) -> int:
    """Up to two significant digits, so that nobody reads precision into it."""
    size: int = 10 ** max(0, math.floor(math.log10(draws)) - 1)
    return math.ceil(draws / size) * size
