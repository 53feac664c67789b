"""What stands in a NumPyro model or guide: names, shapes, plates and supports, found without computing anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpyro.handlers import seed, trace

from modelwright.bayesian.inference.supports import support_in_words
from modelwright.bayesian.inference.tracing import TRACING, Call
from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class Site:
    """One site of a model or guide.

    Args:
        name: Its name.
        shape: Shape of its value.
        plates: The plates that it stands in, outermost first, each with the dimension (negative) it takes.
        event_dim: Dimensions at the end of the shape that belong to one draw.
        support: Its support in words, empty for a deterministic site and a point mass.
        discrete: Whether its values are whole numbers.
        unconstrained_size: Numbers it has in the unconstrained space.
    """

    name: str
    shape: tuple[int, ...]
    plates: tuple[tuple[str, int], ...]
    event_dim: int
    support: str
    discrete: bool = False
    unconstrained_size: int = 0

    @property
    def dims(self) -> list[str]:
        """Names of its dimensions: plates, and the site's own for what no plate names."""
        names = [f"{self.name}_dim_{k}" for k in range(len(self.shape))]
        for plate, dim in self.plates:
            place = len(self.shape) - self.event_dim + dim
            if 0 <= place < len(names):
                names[place] = plate
        return names


@dataclass(frozen=True)
class Sites:
    """The sites of one model or guide.

    Args:
        latent: Sites that are sampled, by name.
        observed: Sites with data.
        deterministic: Sites that follow from others.
        auxiliary: Sites of a guide that the model does not know.
        plates: Size of every plate.
    """

    latent: Mapping[str, Site]
    observed: Mapping[str, Site]
    deterministic: Mapping[str, Site]
    auxiliary: Mapping[str, Site]
    plates: Mapping[str, int]


def find_sites(fn: Callable[..., Any], call: Call) -> Sites:
    """The sites of a model or guide called so.

    Args:
        fn: The model or guide.
        call: Its arguments.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        ...     with numpyro.plate("place", len(y)):
        ...         numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> sites = find_sites(model, Call.of((np.zeros(3),), {}))
        >>> list(sites.latent), sites.observed["y"].dims
        (['scale'], ['place'])
    """
    groups: dict[str, dict[str, Site]] = {"latent": {}, "observed": {}, "deterministic": {}, "auxiliary": {}}
    plates: dict[str, int] = {}

    def run(key: Any, arrays: tuple[Any, ...]) -> Any:
        args, kwargs = call.arguments(arrays)
        for name, site in trace(seed(fn, key)).get_trace(*args, **kwargs).items():
            kind = _kind(site)
            if kind == "plate":
                plates[name] = int(site["args"][0])
            elif kind:
                groups[kind][name] = _site(name, site)
        return None

    with TRACING:
        jax.eval_shape(run, jax.random.key(0), call.device_arrays())
    return Sites(**groups, plates=plates)


def has_shape(sites: Mapping[str, Site], name: str, value: Any) -> bool:
    """Whether a site is there and a value of it has its shape."""
    return name in sites and sites[name].shape == np.shape(value)


def check_guide(model: Sites, guide: Sites) -> None:
    """Refuse a guide whose sites are not the model's latent sites, in name, shape and support.

    A latent site that the guide leaves out would be drawn from its prior at every step, and reported so.

    Raises:
        ConfigurationError: naming the sites.
    """
    missing = [name for name in model.latent if name not in guide.latent]
    if missing:
        raise ConfigurationError(
            f"the guide has no {', '.join(missing)}",
            field="guide",
            expected=f"the latent sites of the model ({', '.join(model.latent)})",
            got=list(guide.latent),
            todo="give every latent site a place in the guide",
        )
    extra = [name for name in guide.latent if name not in model.latent]
    if extra:
        raise ConfigurationError(
            f"the model has no {', '.join(extra)}",
            field="guide",
            expected=f"the latent sites of the model ({', '.join(model.latent)})",
            got=list(guide.latent),
            todo="name the guide's sites like the model's, or mark them infer={'is_auxiliary': True}",
        )
    for name, site in model.latent.items():
        if guide.latent[name].shape != site.shape:
            raise ConfigurationError(
                "the guide's shape is not the model's",
                field=name,
                expected=str(site.shape),
                got=guide.latent[name].shape,
            )
        if guide.latent[name].support not in ("", site.support):
            raise ConfigurationError(
                "the guide's support is not the model's",
                field=name,
                expected=site.support,
                got=guide.latent[name].support,
                todo="bring the guide's draws onto the support with a bijector",
            )
        if site.discrete:
            raise ConfigurationError(
                "variational inference needs continuous variables",
                field=name,
                expected="a continuous distribution",
                todo="sum the discrete variable out of the likelihood",
            )


def _kind(site: Mapping[str, Any]) -> str:
    match site["type"]:
        case "plate" | "deterministic":
            return str(site["type"])
        case "sample" if site["is_observed"]:
            return "observed"
        case "sample" if site["infer"].get("is_auxiliary"):
            return "auxiliary"
        case "sample":
            return "latent"
        case _:
            return ""


def _site(name: str, site: Mapping[str, Any]) -> Site:
    shape = tuple(int(size) for size in np.shape(site["value"]))
    frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
    plates = tuple((frame.name, int(frame.dim)) for frame in frames)
    if site["type"] == "deterministic":
        # dimensions of plates are counted from the end, and what a deterministic site has behind them is not known:
        # they are told by their sizes, where these differ
        event = _trailing(shape, frames)
        return Site(name, shape, plates if event is not None else (), event or 0, "")
    fn = site["fn"]
    return Site(name, shape, plates, int(fn.event_dim), support_in_words(fn), bool(fn.support.is_discrete))


def _trailing(shape: tuple[int, ...], frames: list[Any]) -> int | None:
    """Event dimensions of a deterministic site that lets its plates have their sizes; None when there is no telling."""
    for event in range(len(shape)):
        if all(len(shape) - event + f.dim >= 0 and shape[len(shape) - event + f.dim] == f.size for f in frames):
            return event
    return None
