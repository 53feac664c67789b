"""What the model expects before it has seen the data, beside what the data are.

Whole data sets are drawn from the prior, with the entities, windows and exposures of the data, and compared with the
data in five quantities that a person can judge: a window's count, an entity's mean count, the mean of all counts, the
share of windows without events and the largest count. A prior that cannot have meant such data is found before the
sampling and not after (Box 1980, https://doi.org/10.2307/2982063; Gabry et al. 2019, https://arxiv.org/abs/1709.01449).

The cost is bounded: windows of some entities, drawn at random, stand for all when there are many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_prior, predict_counts
from modelwright.bayesian.event_rates.observations import Observations
from modelwright.bayesian.event_rates.prior_advice import prior_advice, rough_hyperparameters
from modelwright.core.errors import ConfigurationError
from modelwright.core.number_text import number_text
from modelwright.core.sections import Section, Table
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts

DRAWS = 1000
"""Data sets drawn from the prior."""

COMPARED_WINDOWS = 1000
"""Windows of each of them, about; with fewer in the data, all."""

COMPARED_ENTITIES = 100
"""Entities that these windows are of, at least, where there are as many."""

MEAN = "mean count of all windows"
"""The quantity that tells whether the level is wrong."""

Replicate = Callable[[np.ndarray, Observations, np.random.Generator], np.ndarray]
"""Positions of some windows among the data's, the windows themselves, a source of randomness -> counts (draws, n)."""

_EDGES = np.array([0.005, 0.05, 0.5, 0.95, 0.995])
"""Probabilities of the quantiles that are shown; outside of the outermost the data are remarkable."""

_CENTRAL = "99 %"


@dataclass(frozen=True)
class PriorQuantity:
    """One quantity under the prior and in the data.

    Args:
        name: What it is ("count of a window").
        prior: Its 0.5 %, 5 %, 50 %, 95 % and 99.5 % quantiles under the prior.
        data: What the data have; the median over windows or entities where there are many values.
        spread: 5 % and 95 % quantiles over the windows or entities of the data; None for a single value.
        at_most: Probability, under the prior, of at most what the data have.
        at_least: Probability of at least that.
    """

    name: str
    prior: tuple[float, float, float, float, float]
    data: float
    spread: tuple[float, float] | None
    at_most: float
    at_least: float

    @property
    def surprise(self) -> int:
        """1 when the data lie above the prior's central 99 %, -1 when below, else 0."""
        return int(self.data > self.prior[4]) - int(self.data < self.prior[0])


@dataclass(frozen=True)
class PriorPredictive:
    """What the prior expects, beside the data.

    Args:
        priors: Parameter -> its prior as a text, such as "exponential(0.1)".
        quantities: Count of a window, mean count of an entity's windows and of all windows, share of windows without
            events, largest count.
        draws: Data sets drawn from the prior.
        entities: Entities compared.
        windows: Windows compared.
        complete: Whether these are all of the data.
        warnings: A sentence for each quantity of the data that lies outside of what the prior expects.
        advice: What to do about it; empty without warnings.
    """

    priors: dict[str, str]
    quantities: tuple[PriorQuantity, ...]
    draws: int
    entities: int
    windows: int
    complete: bool
    warnings: tuple[str, ...]
    advice: str

    @property
    def compared(self) -> str:
        """Which windows the figures are of, as half a sentence."""
        which = "all" if self.complete else "a random part:"
        return f"{which} {self.windows:,} windows of {self.entities:,} entities"


def prior_predictive_summary(
    data: EventCounts, config: ModelConfig, *, draws: int = DRAWS, seed: int | None = None
) -> PriorPredictive:
    """Draw data sets from the prior and set them beside the data; well under a second, whatever the data's size.

    Args:
        data: Counts per entity and window.
        config: Priors, likelihood and parameterisation.
        draws: Data sets to draw.
        seed: Seed; that of the configuration when left out.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3100, 2900, 2800])
        >>> prior_predictive_summary(data, ModelConfig()).advice
        'Widen mu_prior, for example mu_prior=exponential(0.0003).'
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or not 2 <= draws <= 10_000:
        raise ConfigurationError("not usable", field="draws", expected="a whole number from 2 to 10,000", got=draws)

    def replicate(_: np.ndarray, observed: Observations, generator: np.random.Generator) -> np.ndarray:
        return predict_counts(draw_prior(config, observed.n_entities, draws, generator), observed, generator)

    priors = {name: str(prior) for name, prior in config.hyperpriors().items()}
    return beside_replicated(data, config, replicate, priors, seed=config.random_seed if seed is None else seed)


def beside_replicated(
    data: EventCounts, config: ModelConfig, replicate: Replicate, priors: Mapping[str, str], *, seed: int
) -> PriorPredictive:
    """Set the data beside data sets that some prior has drawn.

    Args:
        data: Counts per entity and window.
        config: The base model, whose priors the advice is about.
        replicate: Draws the data sets.
        priors: Parameter -> its prior as a text.
        seed: Seed.
    """
    generator = named_generator(seed, "prior predictive summary")
    rows = compared_rows(data, generator)
    which, entity = np.unique(data.entity_idx[rows], return_inverse=True)
    observed = Observations(data.count[rows], entity, len(which), data.exposure[rows])
    replicated = replicate(rows, observed, generator)
    found = _quantities(observed, replicated)
    outside = tuple(quantity for quantity in found if quantity.surprise)
    level = (float(data.count.sum()) + 0.5) / float(data.exposure.sum())
    return PriorPredictive(
        priors=dict(priors),
        quantities=found,
        draws=len(replicated),
        entities=len(which),
        windows=len(rows),
        complete=len(rows) == data.n_obs,
        warnings=tuple(map(_beside, outside)),
        advice=prior_advice(config, rough_hyperparameters(observed, level), _direction(found)) if outside else "",
    )


def compared_rows(data: EventCounts, generator: np.random.Generator) -> np.ndarray:
    """Positions of the windows to compare, ascending: all, or some of each of some entities drawn at random."""
    if data.n_obs <= COMPARED_WINDOWS:
        return np.arange(data.n_obs)
    per_entity = data.n_obs / data.n_entities
    n_entities = min(data.n_entities, max(COMPARED_ENTITIES, int(COMPARED_WINDOWS / per_entity)))
    chosen = np.sort(generator.choice(data.n_entities, n_entities, replace=False))
    first, last = (np.searchsorted(data.entity_idx, chosen, side=side) for side in ("left", "right"))
    most = max(1, COMPARED_WINDOWS // n_entities)
    parts = [
        np.arange(a, b) if b - a <= most else a + np.sort(generator.choice(b - a, most, replace=False))
        for a, b in zip(first, last, strict=True)
    ]
    return np.concatenate(parts)


def _quantities(observed: Observations, replicated: np.ndarray) -> tuple[PriorQuantity, ...]:
    """The five quantities; `replicated` of shape (draws, windows)."""
    starts = np.flatnonzero(np.diff(observed.entity_idx, prepend=-1))
    windows = np.diff(np.append(starts, len(observed.y)))
    means = np.add.reduceat(replicated, starts, axis=1, dtype=float) / windows
    of_data = np.add.reduceat(observed.y, starts, dtype=float) / windows
    return (
        _of_many("count of a window", replicated, observed.y),
        _of_many("mean count of an entity's windows", means, of_data),
        _quantity(MEAN, replicated.mean(axis=1), float(observed.y.mean())),
        _quantity("share of windows without events", (replicated == 0).mean(axis=1), float((observed.y == 0).mean())),
        _quantity("largest count", replicated.max(axis=1), float(observed.y.max())),
    )


def _of_many(name: str, prior: np.ndarray, data: np.ndarray) -> PriorQuantity:
    low, middle, high = np.quantile(data, (0.05, 0.5, 0.95), method="inverted_cdf")
    return _quantity(name, prior, float(middle), (float(low), float(high)))


def _quantity(name: str, prior: np.ndarray, data: float, spread: tuple[float, float] | None = None) -> PriorQuantity:
    flat = np.sort(prior, axis=None)
    # the smallest value that at least this share does not exceed, so that a count's quantile is a count
    place = np.ceil(_EDGES * len(flat)).astype(int) - 1
    tail, low, middle, high, top = (float(value) for value in flat[np.maximum(place, 0)])
    at_most = float(np.searchsorted(flat, data, side="right")) / len(flat)
    at_least = 1.0 - float(np.searchsorted(flat, data, side="left")) / len(flat)
    return PriorQuantity(name, (tail, low, middle, high, top), data, spread, at_most, at_least)


def _direction(found: tuple[PriorQuantity, ...]) -> int:
    """Whether there are more events than the prior expects (1), or fewer (-1), or that is not what is wrong (0)."""
    return next(quantity.surprise for quantity in found if quantity.name == MEAN)


def _beside(quantity: PriorQuantity) -> str:
    low, high = (shown(value, quantity) for value in (quantity.prior[0], quantity.prior[4]))
    some = "a median of " if quantity.spread is not None else ""
    data = shown(quantity.data, quantity)
    return f"The prior expects the {quantity.name} between {low} and {high} ({_CENTRAL}); the data have {some}{data}."


def shown(value: float, quantity: PriorQuantity) -> str:
    """A figure as it is written in a sentence.

    Example:
        >>> share = PriorQuantity("share of windows without events", (0, 0, 0, 0, 0), 0.5, None, 1, 1)
        >>> shown(0.125, share), shown(1234.0, PriorQuantity("largest count", (0, 0, 0, 0, 0), 1.0, None, 1, 1))
        ('12.5 %', '1,234')
    """
    if quantity.name.startswith("share"):
        return f"{number_text(100.0 * value, digits=3)} %"
    return number_text(value, digits=3)


def prior_predictive_lines(summary: PriorPredictive) -> tuple[str, ...]:
    """The summary in two to four short lines, for a terminal.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3, 0, 5])
        >>> prior_predictive_lines(prior_predictive_summary(data, ModelConfig()))[0]
        'prior: mu ~ exponential(0.1), alpha ~ half_normal(2), phi ~ half_normal(2)'
    """
    count, _, _, zeros, largest = summary.quantities
    parts = []
    for name, quantity in (("count", count), ("largest", largest), ("without events", zeros)):
        low, middle, high = (shown(value, quantity) for value in quantity.prior[1:4])
        parts.append(f"{name} {middle} ({low} to {high}), data {shown(quantity.data, quantity)}")
    # the mean says it best: the others follow from a wrong level
    first = sorted(summary.warnings, key=lambda sentence: MEAN not in sentence)[:1]
    verdict = (*first, summary.advice) if first else (f"the data lie within the prior's central {_CENTRAL}",)
    stated = ", ".join(f"{name} ~ {prior}" for name, prior in summary.priors.items())
    return (f"prior: {stated}", f"windows under the prior: {'; '.join(parts)}", *verdict)


def prior_predictive_section(summary: PriorPredictive) -> Section:
    """The report's section on what the model expected before it saw the data."""
    rows = []
    for quantity in summary.quantities:
        low, middle, high = (shown(value, quantity) for value in quantity.prior[1:4])
        of_data = "" if quantity.spread is None else " to ".join(shown(value, quantity) for value in quantity.spread)
        tails = (_probability(value, summary) for value in (quantity.at_most, quantity.at_least))
        rows.append((quantity.name, middle, f"{low} to {high}", shown(quantity.data, quantity), of_data, *tails))
    columns = ("quantity", "prior", "90 % of the prior", "data", "90 % of the data", "P(at most)", "P(at least)")
    caption = (
        f"Medians, and probabilities of at most and at least what the data have, from {summary.draws:,} data sets "
        f"drawn from the prior; compared are {summary.compared}."
    )
    stated = "; ".join(f"{name} ~ {prior}" for name, prior in summary.priors.items())
    verdict: tuple[str, ...] = (f"The data lie within the central {_CENTRAL} of what these priors expect.",)
    if summary.warnings:
        verdict = (
            *summary.warnings,
            summary.advice,
            "An example has the order of magnitude of the data and no more: a prior should say what is known of such "
            "entities without them.",
        )
    table = Table("Expected before seeing the data", columns, tuple(rows), caption)
    return Section("What the prior expects", (f"The priors are {stated}.", *verdict), (table,))


def _probability(value: float, summary: PriorPredictive) -> str:
    smallest = 1.0 / summary.draws
    return f"below {smallest:.2g}" if value < smallest else f"{value:.3f}"
