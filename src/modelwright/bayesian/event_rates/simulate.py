"""Counts from the event-rate model itself, with the truth kept."""

from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_counts, draw_prior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE, THETA
from modelwright.core.errors import ConfigurationError
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts


def simulate_event_rates(
    n_entities: int,
    n_windows: int,
    *,
    mu: float | None = None,
    alpha: float | None = None,
    phi: float | None = None,
    config: ModelConfig | None = None,
    exposure: Any = None,
    seed: int = 42,
) -> tuple[EventCounts, dict[str, Any]]:
    """A table of counts and the parameters it was drawn with.

    What is not given is drawn from the prior of `config`; `config.likelihood` and `config.parameterization` (for
    "mean_scaled", another population) are followed.

    Args:
        n_entities: Entities, called entity_0000, entity_0001, ...
        n_windows: Windows per entity.
        mu: Population mean rate, events per unit of exposure.
        alpha: Rate of the population's Gamma distribution.
        phi: Concentration of the negative binomial.
        config: The model; the default configuration when left out.
        exposure: Units of exposure per window: a number, or an array that broadcasts to (n_entities, n_windows).
        seed: Seed.

    Returns:
        The counts, and the truth: `mu`, `alpha`, `phi` (not for a Poisson likelihood), `theta` of shape (n_entities,).

    Example:
        >>> counts, truth = simulate_event_rates(3, 5, mu=4.0, alpha=1.0, phi=2.0, seed=1)
        >>> counts.n_obs, truth["theta"].shape
        (15, (3,))
    """
    for field, value in (("n_entities", n_entities), ("n_windows", n_windows)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
    for field, given in (("mu", mu), ("alpha", alpha), ("phi", phi)):
        if given is not None and not (np.isfinite(given) and given > 0):
            raise ConfigurationError("not usable", field=field, expected="a finite number above 0", got=given)
    config = config or ModelConfig()
    generator = named_generator(seed, "simulate event rates")
    drawn = draw_prior(config, 1, 1, generator)
    truth: dict[str, Any] = {
        name: float(drawn[name][0] if given is None else given)
        for name, given in ((MU, mu), (ALPHA, alpha), (PHI, phi))
        if name in drawn
    }
    if mu is None and alpha is not None and SHAPE in config.hyperpriors():
        truth[MU] = float(drawn[MU][0] * drawn[ALPHA][0] / alpha)  # it is the shape that the prior is about
    mean_scaled = config.parameterization == "mean_scaled"
    shape = truth[ALPHA] if mean_scaled else truth[MU] * truth[ALPHA]
    rate = truth[ALPHA] / truth[MU] if mean_scaled else truth[ALPHA]
    truth[THETA] = generator.standard_gamma(shape, n_entities) / rate
    lengths = np.broadcast_to(np.asarray(1.0 if exposure is None else exposure, float), (n_entities, n_windows))
    counts = draw_counts(truth[THETA][:, None] * lengths, truth.get(PHI), generator)
    width = len(str(n_entities - 1)) if n_entities > 10_000 else 4
    labels = [f"entity_{k:0{width}d}" for k in range(n_entities)]
    table = EventCounts.from_arrays(
        entity=np.repeat(labels, n_windows),
        count=counts.ravel().astype(np.int64),
        exposure=lengths.ravel(),
        source={"simulated": {name: value for name, value in truth.items() if name != THETA}, "seed": seed},
    )
    return table, truth
