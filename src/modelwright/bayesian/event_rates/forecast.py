"""What to expect next: counts of an entity over the coming windows, with the uncertainty of its rate in it.

Windows ahead share the entity's unknown rate but not their noise, so their total is wider than independent windows
would make it. Given the rate, h counts of mean theta e and concentration phi add up to a negative binomial of mean
h theta e and concentration h phi; so one window and the total of h are both mixtures over the posterior, and their
quantiles are computed, not drawn: a forecast depends on no seed.
"""

from typing import Any

import numpy as np
from scipy import optimize, special

from modelwright.bayesian.event_rates.count_mixture import Nodes, predict
from modelwright.bayesian.event_rates.leave_one_out import every_second_point, rate_distribution
from modelwright.bayesian.event_rates.posterior_draws import (
    entity_labels,
    population_draws,
    rate_draws,
    statistics_in,
)
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_summaries import summarise_rates
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, alike_entities
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest
from modelwright.core.probability import check_probability

LARGEST_HORIZON = 366
"""Windows a forecast may reach ahead: arbitrary (a year of days), since the model's rate is constant in time."""

_MOST_COMPARED = 50_000
"""Names up to which the nearest one is looked for: a comparison takes some ten microseconds."""

_RATE_DRAWS = 1000
_POPULATION_DRAWS = 200


def forecast(
    trace: Any,
    entity: str,
    horizon: int = 7,
    interval: float = 0.9,
    exposure: float = 1.0,
) -> dict[str, Any]:
    """Forecast the coming windows of an entity.

        one window:     average over the posterior of NB(mean theta e, concentration phi)
        total of h:     average over the posterior of NB(mean h theta e, concentration h phi)

    The posterior of a known entity's rate is integrated exactly from its statistics, for 200 draws of the
    hyperparameters; from 1,000 draws of the rate where the trace has no statistics.

    Args:
        trace: A trace of the event-rate model.
        entity: Label of the entity. One that was not in training gets the forecast of a new member of the population,
            theta ~ Gamma(mu alpha, alpha), and `known_entity` is False.
        horizon: Windows ahead, from 1.
        interval: Probability of the equal-tailed intervals, between 0 and 1.
        exposure: Exposure of each window ahead, in the unit of the training data.

    Returns:
        Plain data: entity, known_entity, horizon, exposure, interval, interval_kind, rate (mean, lower and upper,
        events per unit of exposure), notes (sentences), title, and per window ahead one record in each of

        - predictions: window (1, 2, ...), expected, median, total_expected, total_median (totals up to that window)
        - credible_intervals: lower, upper, total_lower, total_upper

    Raises:
        ConfigurationError: for a horizon, interval or exposure that cannot be.
    """
    probability = check_probability(interval)
    steps, each = _check_horizon(horizon), _check_exposure(exposure)
    labels, name = entity_labels(trace), str(entity)
    tails = ((1 - probability) / 2, (1 + probability) / 2)
    known = name in labels
    statistics = statistics_in(trace) if known else None
    if statistics is not None:
        population = population_draws(trace, _POPULATION_DRAWS)
        rate, concentration, weight, low, high = _from_statistics(population, statistics, name, probability)
    elif known:
        rate, concentration, weight = _known(trace, labels.index(name))
        low, high = (float(end) for end in np.quantile(rate, tails))
    else:
        population = population_draws(trace, _POPULATION_DRAWS)
        rate, concentration, weight = _stranger(population)
        low, high = (_population_quantile(population, tail) for tail in tails)
    predictions, intervals = [], []
    totals = [
        predict(Nodes(h * each * rate, h * concentration), weight[None], np.zeros(1), probability)
        for h in range(1, steps + 1)
    ]
    one = totals[0]
    for h, total in enumerate(totals, start=1):
        predictions.append(
            {
                "window": h,
                "expected": float(one.expected[0]),
                "median": int(one.median[0]),
                "total_expected": float(total.expected[0]),
                "total_median": int(total.median[0]),
            }
        )
        intervals.append(
            {
                "lower": int(one.lower[0]),
                "upper": int(one.upper[0]),
                "total_lower": int(total.lower[0]),
                "total_upper": int(total.upper[0]),
            }
        )
    percent = f"{100 * probability:g} %"
    notes = [f"Intervals are equal-tailed and hold {percent} of the predictive probability."]
    if not known:
        close = nearest(name, labels) if len(labels) <= _MOST_COMPARED else None
        hint = f" (the nearest known name is {close!r})" if close else ""
        notes.insert(0, f"{name!r} was not in training{hint}: this is the forecast for a new member of the population.")
    return {
        "title": f"{name}: the next {steps} windows" if steps > 1 else f"{name}: the next window",
        "entity": name,
        "known_entity": known,
        "horizon": steps,
        "exposure": each,
        "interval": probability,
        "interval_kind": "equal-tailed",
        "rate": {"mean": float(weight @ rate), "lower": low, "upper": high},
        "predictions": predictions,
        "credible_intervals": intervals,
        "notes": notes,
    }


def _known(trace: Any, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates, concentrations and weights of the posterior of one entity, each (n_nodes,)."""
    rates, concentration = rate_draws(trace, _RATE_DRAWS)
    return rates[index], concentration, np.full(len(concentration), 1.0 / len(concentration))


def _from_statistics(
    population: Population, statistics: SufficientStatistics, name: str, probability: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """The same from an entity's statistics, and the ends of the rate's interval."""
    mine = statistics.entity == statistics.position[name]
    only = SufficientStatistics(
        entities=(name,),
        entity=np.zeros(int(mine.sum()), dtype=np.int64),
        exposure=statistics.exposure[mine],
        windows=statistics.windows[mine],
        total=statistics.total[mine],
        count=np.empty(0),
        times=np.empty(0),
    )
    alike = alike_entities(only)
    summary = summarise_rates(population, alike, probability)
    windows = alike.profiles[0].windows
    rate, share = every_second_point(
        *rate_distribution(population, Windows(windows.exposure[0], windows.total[0], windows.number[0]))
    )
    weight = share.reshape(-1) / len(population)
    concentration = np.repeat(population.concentration, rate.shape[1])
    return rate.reshape(-1), concentration, weight, float(summary.lower[0]), float(summary.upper[0])


def _stranger(population: Population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for an entity of which nothing is known but the population."""
    nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
    rate, probability = every_second_point(*rate_distribution(population, nothing))
    weight = probability.reshape(-1) / len(population)
    return rate.reshape(-1), np.repeat(population.concentration, rate.shape[1]), weight


def _population_quantile(population: Population, level: float) -> float:
    """The rate below which the population, averaged over the draws, has probability `level`."""
    per_draw = special.gammaincinv(population.shape, level) / population.rate
    low, high = float(per_draw.min()), float(per_draw.max())
    if low >= high * (1 - 1e-9):
        return high
    found = optimize.brentq(
        lambda rate: float(special.gammainc(population.shape, population.rate * rate).mean()) - level, low, high
    )
    return float(found)


def _check_horizon(horizon: object) -> int:
    whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
    if not whole or not 1 <= int(horizon) <= LARGEST_HORIZON:  # type: ignore[call-overload]
        raise ConfigurationError(
            "not a number of windows ahead",
            field="horizon",
            expected=f"a whole number from 1 to {LARGEST_HORIZON}",
            got=horizon,
        )
    return int(horizon)  # type: ignore[call-overload]


def _check_exposure(exposure: object) -> float:
    number = isinstance(exposure, int | float | np.number) and not isinstance(exposure, bool)
    if not number or not 0.0 < float(exposure) < float("inf"):  # type: ignore[arg-type]
        raise ConfigurationError("not an exposure", field="exposure", expected="a positive number", got=exposure)
    return float(exposure)  # type: ignore[arg-type]
