"""Which engine samples the event-rate model, and in which form the rates are kept, with the reason for each choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from modelwright.bayesian.inference.requirements import require_engine, require_platform
from modelwright.core.errors import ConfigurationError, MissingDependencyError, NotFoundError
from modelwright.core.names import suggestion

Engine = Literal["auto", "collapsed", "numpyro", "pymc", "nutpie"]
Rates = Literal["auto", "draws", "summary"]

NOT_COLLAPSIBLE = {
    "temporal": "each window has a rate of its own that depends on the one before",
    "volumes": "two correlated effects per entity leave no one-dimensional integral",
}
"""Extensions that keep the rates from being integrated out, and why."""

MOST_ENTITIES_WITH_DRAWS = 100_000
"""Above this many entities rates are kept as summaries unless draws are asked for."""

MOST_RATE_DRAWS = 100_000_000
"""Draws of rates over all entities (800 MB) up to which they are kept unless asked for."""

LARGEST_RATE_DRAWS = 1_000_000_000
"""Draws of rates (8 GB) above which they are refused even when asked for."""


@dataclass(frozen=True)
class Choice:
    """What was taken and why.

    Args:
        name: The engine, or the form of the rates.
        reason: A sentence without its full stop.
    """

    name: str
    reason: str


def choose_engine(engine: str = "auto", *, platform: str = "cpu", extensions: Sequence[str] = ()) -> Choice:
    """The engine to sample with.

    Args:
        engine: "auto" or the name of one.
        platform: "cpu" or "gpu".
        extensions: What is added to the base model.

    Raises:
        ConfigurationError: the engine cannot do what is asked, with the reason.
        NotFoundError: there is no such engine. MissingDependencyError: it is not installed.

    Example:
        >>> choose_engine().name, choose_engine(extensions=["temporal"]).name
        ('collapsed', 'numpyro')
    """
    if engine not in get_args(Engine):
        todo = suggestion(str(engine), get_args(Engine))
        raise NotFoundError(f"no engine is called {str(engine)!r}", field="engine", todo=todo)
    blocking = [name for name in extensions if name in NOT_COLLAPSIBLE]
    why = f"{blocking[0]}: {NOT_COLLAPSIBLE[blocking[0]]}" if blocking else ""
    if engine == "collapsed":
        if blocking:
            raise ConfigurationError(
                f"the rates cannot be integrated out with {why}",
                field="engine",
                expected="numpyro, pymc or nutpie",
                got=engine,
                todo="leave the engine to auto",
            )
        if platform != "cpu":
            raise ConfigurationError(
                "the collapsed engine runs on the CPU", field="platform", expected="'cpu'", got=platform
            )
        return Choice("collapsed", "as asked")
    if engine != "auto":
        require_engine(engine)
        require_platform(platform, engine=engine)
        return Choice(engine, "as asked")
    if platform != "cpu":
        require_platform(platform, engine="numpyro")
        return Choice("numpyro", f"the one that runs on the {platform}")
    if not blocking:
        return Choice("collapsed", "every rate can be integrated out exactly, so only the population is sampled")
    return Choice(
        _installed_sampler(), f"all unknowns are sampled together, since the rates cannot be integrated out with {why}"
    )


def choose_rates(rates: str, *, n_entities: int, n_draws: int) -> Choice:
    """Whether to keep draws of every rate, or exact means and quantiles only.

    Args:
        rates: "auto", "draws" or "summary".
        n_entities: Entities.
        n_draws: Draws over all chains.

    Example:
        >>> choose_rates("auto", n_entities=500, n_draws=4000).name
        'draws'
        >>> choose_rates("auto", n_entities=10**6, n_draws=4000).reason
        'of more than 100,000 entities only means and quantiles are kept'
    """
    if rates not in get_args(Rates):
        todo = suggestion(str(rates), get_args(Rates))
        raise ConfigurationError(
            "no such form", field="rates", expected=" or ".join(get_args(Rates)), got=rates, todo=todo
        )
    size = n_entities * n_draws
    if rates == "draws" and size > LARGEST_RATE_DRAWS:
        raise ConfigurationError(
            f"{n_draws:,} draws of {n_entities:,} rates would take {8e-9 * size:,.0f} GB",
            field="rates",
            expected=f"at most {LARGEST_RATE_DRAWS:,} draws in all",
            got=rates,
            todo="take rates=summary (exact means and quantiles), or fewer draws",
        )
    if rates != "auto":
        return Choice(rates, "as asked")
    if n_entities > MOST_ENTITIES_WITH_DRAWS:
        return Choice(
            "summary", f"of more than {MOST_ENTITIES_WITH_DRAWS:,} entities only means and quantiles are kept"
        )
    if size > MOST_RATE_DRAWS:
        return Choice("summary", f"{n_draws:,} draws of {n_entities:,} rates would take {8e-9 * size:.1f} GB")
    return Choice("draws", "there is room for them")


def _installed_sampler() -> str:
    """The first of the samplers that is installed."""
    missing: MissingDependencyError | None = None
    for name in ("numpyro", "nutpie", "pymc"):
        try:
            require_engine(name)
        except MissingDependencyError as error:
            missing = missing or error
        else:
            return name
    assert missing is not None
    raise missing
