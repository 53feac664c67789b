"""Which engine samples an extended model, decided by what was measured, and roughly where nothing was."""

from dataclasses import replace

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import Choice, choose_engine
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.inference.requirements import require_engine
from modelwright.core.errors import MissingDependencyError

MOST_HYPERPARAMETERS = 40
"""Independent proposals cover up to about this many (drift over 20 windows makes 23); beyond, NUTS does.

`benchmarks/extension_engines.py --windows 20 40`, 200 entities with a random walk, 4 chains of 1,000 draws, effective
draws a second of processor time, on a busy machine. 20 windows: negative binomial 45 (collapsed) against 42 (NUTS),
Poisson 45 against 22. 40 windows, where the collapsed engine leaves its density to NUTS: negative binomial 10 against
76, Poisson 109 against 29. (Poisson counts are thus left to the slower engine; it has not been looked at further.)"""

MOST_INFLATED_CELLS = 8.0
"""Cells per entity up to which zero inflation is integrated and not sampled.

`benchmarks/extension_engines.py --chosen zero_inflation,drift --windows 8 20 --likelihoods negative_binomial`:
effective draws a second of processor time, 114 (collapsed) against 44 (NUTS) with 8 windows, 59 against 92 with 20.
Where they meet in between has not been measured."""


def choose_extended_engine(
    design: Design, config: ModelConfig, extensions: Extensions, *, engine: str = "auto", platform: str = "cpu"
) -> Choice:
    """The engine to sample an extended model with.

    Args:
        design: The data.
        config: The base model.
        extensions: What is added.
        engine: "auto" or the name of one.
        platform: "cpu" or "gpu".

    Raises:
        ConfigurationError: the engine cannot do what is asked, with the reason.
        MissingDependencyError: it is not installed.

    Example:
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.data.events import EventCounts
        >>> data, inflated = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2]), Extensions.create(
        ...     chosen="zero_inflation")
        >>> choose_extended_engine(design_of(data, inflated), ModelConfig(), inflated).name
        'collapsed'
    """
    chosen = choose_engine(engine, platform=platform, extensions=extensions.chosen)
    if chosen.name != "collapsed":
        return chosen
    try:
        require_engine("numpyro")  # the collapsed density of extended models is compiled by JAX
    except MissingDependencyError:
        if engine == "collapsed":
            raise
        without = choose_engine("auto", platform=platform, extensions=[names.TEMPORAL])
        return replace(without, reason="the collapsed engine needs JAX for models with extensions")
    if engine == "collapsed":
        return chosen
    reason = _why_not(design, config, extensions)
    return replace(choose_engine("numpyro", platform=platform), reason=reason) if reason else chosen


def hyperparameter_count(design: Design, config: ModelConfig, extensions: Extensions) -> int:
    """How many numbers remain when the rates are integrated out."""
    count = len(config.hyperpriors()) + extensions.has(names.ZERO_INFLATION)
    for level in (design.entity_level, design.window_level):
        count += 0 if level is None else level.contrasts.shape[1]
    return count + (0 if design.drift is None else 1 + design.drift.basis.shape[1])


def _why_not(design: Design, config: ModelConfig, extensions: Extensions) -> str:
    """Why the collapsed engine is not the one to take, or nothing."""
    count = hyperparameter_count(design, config, extensions)
    if count > MOST_HYPERPARAMETERS:
        return f"independent proposals rarely cover {count} hyperparameters, which remain with the rates integrated out"
    per_entity = len(design.cells.entity) / design.n_entities
    if extensions.has(names.ZERO_INFLATION) and per_entity > MOST_INFLATED_CELLS:
        return (
            f"with zero inflation and {per_entity:.0f} different windows per entity a second of sampling the rates is "
            "worth more than one of integrating them out"
        )
    return ""
