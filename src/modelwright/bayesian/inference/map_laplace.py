"""The most probable point of a model and the normal distribution that has its curvature (Laplace's approximation).

    fit = laplace(model, counts)              # the same results as svi and nuts have
    fit.slopes["log_mu"]["log_size"]          # how each gene's mean moves with a global number

All of it happens in the unconstrained space, where a normal distribution can live.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from modelwright.bayesian.inference.coupled_curvature import Coupled
from modelwright.bayesian.inference.curvature import Arrowhead, Curvature, Dense
from modelwright.bayesian.inference.curvature_search import curvature_at
from modelwright.bayesian.inference.data_models import AbstractDataModel, data_as_fitted, names_integrated_out
from modelwright.bayesian.inference.fit_files import read_fit, write_fit
from modelwright.bayesian.inference.fit_result import AbstractFit, Subject
from modelwright.bayesian.inference.guide_draws import chosen, in_blocks
from modelwright.bayesian.inference.lbfgs import Climb, climb
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_generator
from modelwright.core.verdict import Verdict

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.pointwise_loo import PointwiseLoo


def laplace(
    model: Callable[..., Any],
    data: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
    iterations: int = 1000,
    constant_data: bool = False,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    progress: ProgressCallback = ignore_progress,
) -> "LaplaceFit":
    """Climb to the posterior's mode in the unconstrained space and take the curvature there.

    Up to 500 unknowns the whole Hessian is taken; of more, an arrowhead (see `curvature`).

    Args:
        model: A NumPyro model, called as `model(data, **kwargs)`; continuous latent sites only.
        data: Its positional argument, or a tuple of several.
        kwargs: Keyword arguments of the model.
        start: Latent site -> value to begin from; the middle of the unconstrained space for those not given.
        iterations: The most iterations of L-BFGS.
        constant_data: Whether the model looks at the values of its data while it is traced.
        coords: Dimension -> labels.
        dims: Site -> names of its dimensions.
        progress: Called with events of the stages "climb" and "curvature".

    Raises:
        NoCurvatureError: more than 500 unknowns whose curvature is no arrowhead.

    Source: L. Tierney, J. Kadane (1986), https://doi.org/10.1080/01621459.1986.10478240.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def heights(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> fit = laplace(heights, np.array([1.0, 2.0, 3.0]))
        >>> round(float(fit.mode[0]), 3), round(float(fit.curvature.variances()[0]), 4)
        (1.993, 0.3322)
    """
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        if isinstance(model, AbstractDataModel):
            ready = model.made_ready(data, kwargs=kwargs)
            data, start = ready.data, {**ready.start, **(start or {})}
        args = data if isinstance(data, tuple) else (data,)
        subject = Subject(model, Call.of(args, kwargs or {}, constant=constant_data), coords or {}, dims or {})
        progress(ProgressEvent("climb", 0, 1))
        density, found = mode_of(model, subject.call, start or {}, iterations=iterations)
        progress(ProgressEvent("climb", 1, 1, info={"iterations": found.iterations}))
        progress(ProgressEvent("curvature", 0, 1))
        curvature = curvature_at(density, found.z)
        progress(ProgressEvent("curvature", 1, 1))
    return LaplaceFit(subject, density, found.z, found.log_joint, found.gradient, curvature, found.iterations)


def mode_of(
    model: Callable[..., Any], call: Call, start: Mapping[str, Any], *, iterations: int = 1000
) -> tuple[Unconstrained, Climb]:
    """The climb to the mode alone; what it finds is of use also where there is no curvature to be had.

    Args:
        model: The model.
        call: What it is called with; call with double precision on.
        start: As for `laplace`.
        iterations: As for `laplace`.
    """
    density = Unconstrained.of(model, call)
    z = density.unconstrain(start) if start else np.zeros(density.size)
    return density, climb(density, z, iterations=iterations)


@dataclass(frozen=True, eq=False)
class LaplaceFit(AbstractFit):
    """The normal approximation at a mode.

    Args:
        fitted: The model with its data.
        density: Its density in the unconstrained space.
        mode: Where it is largest, shape (d,).
        log_joint: The log density there.
        gradient: Its gradient there; zero at a mode.
        curvature: The precision matrix.
        iterations: Iterations of the climb.
    """

    fitted: Subject
    density: Unconstrained
    mode: np.ndarray
    log_joint: float
    gradient: np.ndarray
    curvature: Curvature
    iterations: int

    @property
    def subject(self) -> Subject:
        """What was fitted, with every unknown that there are draws of."""
        return self.fitted.with_all_unknowns()

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation of log p(y): log p(y, z) + d/2 log 2 pi - 1/2 log |H|."""
        return float(
            self.log_joint + 0.5 * self.density.size * np.log(2.0 * np.pi) - 0.5 * self.curvature.log_determinant
        )

    @property
    def slopes(self) -> dict[str, dict[str, np.ndarray]]:
        """How the mean of each row's unknowns moves with each global number: row site -> global number -> slope.

        Shapes are those of the sites' unconstrained values; a global site of several numbers has one entry each, called
        like w[0]. Of a dense curvature the global numbers are the sites of a single number, and every other site has
        slopes on all of them together: the regression cov(site, globals) cov(globals, globals)^-1.
        """
        if isinstance(self.curvature, Dense):
            return self._dense_slopes()
        arrow = self.curvature.arrow if isinstance(self.curvature, Coupled) else self.curvature
        assert isinstance(arrow, Arrowhead)
        labels = self.density.labels()
        full = np.zeros((self.density.size, len(arrow.global_places)))
        full[arrow.row_places] = self.curvature.slopes  # type: ignore[attr-defined]
        rows = {name for name, place in self.density.places.items() if place.start in arrow.row_places}
        return {
            name: {
                labels[g]: full[self.density.places[name], k].reshape(self.density.shapes[name])
                for k, g in enumerate(arrow.global_places)
            }
            for name in rows
        }

    def _dense_slopes(self) -> dict[str, dict[str, np.ndarray]]:
        assert isinstance(self.curvature, Dense)
        covariance, places = self.curvature.covariance, self.density.places
        single = {name: place.start for name, place in places.items() if self.density.shapes[name] == ()}
        found: dict[str, dict[str, np.ndarray]] = {}
        for name, place in places.items():
            others = {other: at for other, at in single.items() if other != name}
            among = list(others.values())
            slopes = np.linalg.solve(covariance[np.ix_(among, among)], covariance[among, place])
            shape = self.density.shapes[name]
            found[name] = {other: slopes[k].reshape(shape) for k, other in enumerate(others)}
        return found

    def locations(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Site -> location and scale in the unconstrained space, to begin a guide from."""
        scale = np.sqrt(self.curvature.variances())
        return dict_of_locations(self.density, self.mode, scale)

    def unconstrained_draws(self, n: int, seed: int) -> np.ndarray:
        """Draws of the approximation, shape (n, d)."""
        noise = named_generator(seed, "laplace").standard_normal((n, self.density.size))
        return self.mode + self.curvature.draw(noise)

    def sample(self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Draws of the approximation, mapped to the supports; see `AbstractFit.sample`."""

        def draw(sites: Collection[str] | None) -> dict[str, np.ndarray]:
            with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
                arrays = self.fitted.call.device_arrays()
                one = lambda arrays, z: self.density.constrain(z, arrays)  # noqa: E731
                z = self.unconstrained_draws(n, seed)
                hidden = names_integrated_out(self.fitted.model)
                return dict(in_blocks(chosen(one, sites, n, arrays, z[0], beside=hidden), arrays, z))

        return self.fitted.drawn(draw, sites, seed)

    def log_ratios(self, n: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Log densities of the model and of the approximation at draws of the latter, shape (n,) each."""
        z = self.unconstrained_draws(n, seed)
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            one = lambda arrays, at: self.density.log_joint(at, arrays)  # noqa: E731
            of_model = np.asarray(in_blocks(one, self.fitted.call.device_arrays(), z))
        constant = 0.5 * self.curvature.log_determinant - 0.5 * self.density.size * np.log(2.0 * np.pi)
        return of_model, constant - 0.5 * self.curvature.energy(z - self.mode)

    def diagnose(self) -> Verdict:
        """Whether the point is a mode, and k-hat of the approximation against the model."""
        from modelwright.bayesian.diagnostics.guide_checks import check_laplace_fit

        return Verdict.of(check_laplace_fit(self))

    def to_inferencedata(
        self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None
    ) -> az.InferenceData:
        """One chain of `n` draws, with named axes."""
        arrays = {name: values[None] for name, values in self.sample(n, seed, sites=sites).items()}
        attrs = {"engine": "laplace", "iterations": self.iterations, "log_evidence": self.log_evidence}
        dims = self.fitted.named_dims()
        return az.InferenceData(posterior=draws_dataset(arrays, coords=self.fitted.coords, dims=dims, attrs=attrs))

    def loo(
        self, *, unit: str | Sequence[str] | None = None, model: Callable[..., Any] | None = None, draws: int = 1000
    ) -> "PointwiseLoo":
        """Leave-one-out predictive densities; see `diagnostics.pointwise_loo.leave_one_out`."""
        from modelwright.bayesian.diagnostics.pointwise_loo import leave_one_out

        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            return leave_one_out(
                self.fitted, self.sample(draws, sites=self.fitted.sites().latent), unit=unit, model=model
            )

    def save(self, folder: Path | str) -> Path:
        """Write mode and curvature to a folder."""
        parts = self.curvature
        kind = {Dense: "dense", Arrowhead: "arrowhead", Coupled: "coupled"}[type(parts)]
        groups = {
            "point": {"mode": self.mode, "gradient": self.gradient, "log_joint": np.float64(self.log_joint)},
            "curvature": dict(vars_of(parts)),
        }
        document = {
            "curvature": kind,
            "iterations": self.iterations,
            "constant_data": self.fitted.call.is_constant,
            "coords": {name: list(labels) for name, labels in self.fitted.coords.items()},
            "dims": {name: list(names) for name, names in self.fitted.dims.items()},
        }
        return write_fit(Path(folder), "laplace", groups, document)

    @classmethod
    def load(
        cls, folder: Path | str, model: Callable[..., Any], data: Any, *, kwargs: Mapping[str, Any] | None = None
    ) -> "LaplaceFit":
        """Read back what `save` wrote, beside the model and the data it was fitted to."""
        groups, document = read_fit(folder, "laplace")
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            call = Call.of(data_as_fitted(model, data), kwargs or {}, constant=document["constant_data"])
            density = Unconstrained.of(model, call)
        point, parts = groups["point"], groups["curvature"]
        return cls(
            Subject(model, call, document["coords"], document["dims"]),
            density,
            point["mode"],
            float(point["log_joint"]),
            point["gradient"],
            curvature_of(document["curvature"], parts),
            document["iterations"],
        )


def dict_of_locations(
    density: Unconstrained, location: np.ndarray, scale: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Site -> location and scale, from vectors of both."""
    locations, scales = density.unravel(location), density.unravel(scale)
    return {name: (locations[name], scales[name]) for name in density.shapes}


def vars_of(curvature: Curvature) -> dict[str, np.ndarray]:
    """The arrays that a curvature is made of."""
    match curvature:
        case Dense(matrix=matrix):
            return {"matrix": matrix}
        case Arrowhead():
            return {
                "global_places": curvature.global_places,
                "row_places": curvature.row_places,
                "corner": curvature.corner,
                "border": curvature.border,
                "blocks": curvature.blocks,
            }
        case Coupled():
            return {**vars_of(curvature.arrow), "along": curvature.along, "sign": np.float64(curvature.sign)}
        case _:
            raise TypeError(f"no arrays known of {type(curvature).__name__}")


def curvature_of(kind: str, parts: Mapping[str, np.ndarray]) -> Curvature:
    """The curvature of these arrays, as `vars_of` gave them."""
    if kind == "dense":
        return Dense(**parts)
    arrow = Arrowhead(**{name: parts[name] for name in parts if name not in ("along", "sign")})
    return arrow if kind == "arrowhead" else Coupled(arrow, parts["along"], float(parts["sign"]))
