"""The result of stochastic variational inference."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from modelwright.bayesian.inference.autoguides import settled_guide
from modelwright.bayesian.inference.data_models import data_as_fitted
from modelwright.bayesian.inference.fit_files import read_fit, write_fit
from modelwright.bayesian.inference.fit_result import AbstractFit, Subject
from modelwright.bayesian.inference.guide_draws import guide_draws, log_ratios
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.seeds import check_seed, named_seed
from modelwright.core.verdict import Verdict

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.held_out import HeldOutBound
    from modelwright.bayesian.diagnostics.pointwise_loo import PointwiseLoo


@dataclass(frozen=True, eq=False)
class VariationalFit(AbstractFit):
    """A guide fitted to the posterior of a model.

    Args:
        model: The model. guide: The guide.
        fitted: The model with its data.
        params: Values of the guide's parameters (and the model's), by name.
        mutable: Values of mutable sites, None without any.
        elbo: The ELBO estimate of every step, shape (step,); NaN where a step was left out since it was not finite.
        touched: For every parameter, whether it ever received a gradient other than zero.
        ended: Why the fit ended, in words.
        interrupted: Whether it was cut short by Ctrl-C.
        settings: Plain data: steps, batch_size, seed, precision and the rest of the settings.
        seconds: Wall time of compiling and fitting.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    fitted: Subject
    params: Mapping[str, Any]
    mutable: Mapping[str, Any] | None
    elbo: np.ndarray
    touched: Mapping[str, Any]
    ended: str
    interrupted: bool
    settings: Mapping[str, Any]
    seconds: float

    @property
    def subject(self) -> Subject:
        """What was fitted, with every unknown that there are draws of."""
        return self.fitted.with_all_unknowns()

    @property
    def is_double(self) -> bool:
        """Whether it was fitted in double precision."""
        return bool(self.settings["double"])

    @cached_property
    def _values(self) -> dict[str, Any]:
        return {**self.params, **(self.mutable or {})}

    def sample(self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Draws of the guide, with the deterministic sites of the model; see `AbstractFit.sample`."""
        check_seed(seed)

        def draw(sites: Collection[str] | None) -> dict[str, np.ndarray]:
            with jax.enable_x64(self.is_double):
                number = named_seed(seed, "sample")
                return guide_draws(self.model, self.guide, self._values, self.fitted.call, number, n, sites)

        return self.fitted.drawn(draw, sites, seed)

    def log_ratios(self, n: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Log p(y, z) and log q(z) at `n` draws z of the guide, shape (n,) each.

        In double precision whatever the fit was made in: the densities of whole tables are so large that in single
        precision their differences are rounding errors.
        """
        call = self.fitted.call.in_double()
        values = jax.tree.map(_in_double, self._values)
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            guide = self.guide if self.is_double else settled_guide(self.guide, call, self.settings["seed"])
            return log_ratios(self.model, guide, values, call, named_seed(seed, "ratios"), n)

    def diagnose(self) -> Verdict:
        """Plateau of the ELBO, k-hat of the guide against the model, reach of the gradient, what data leave open."""
        from modelwright.bayesian.diagnostics.guide_checks import check_variational_fit

        return Verdict.of(check_variational_fit(self))

    def to_inferencedata(
        self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None
    ) -> az.InferenceData:
        """One chain of `n` draws, with named axes and the settings among the attributes."""
        arrays = {name: values[None] for name, values in self.sample(n, seed, sites=sites).items()}
        attrs = {
            "engine": "svi",
            "ended": self.ended,
            "fitting_seconds": float(self.seconds),
            **{name: value for name, value in self.settings.items() if isinstance(value, int | float | str)},
        }
        dims = self.fitted.named_dims()
        return az.InferenceData(posterior=draws_dataset(arrays, coords=self.fitted.coords, dims=dims, attrs=attrs))

    def loo(
        self, *, unit: str | Sequence[str] | None = None, model: Callable[..., Any] | None = None, draws: int = 1000
    ) -> "PointwiseLoo":
        """Leave-one-out predictive densities under the guide; see `diagnostics.pointwise_loo.leave_one_out`."""
        from modelwright.bayesian.diagnostics.pointwise_loo import leave_one_out

        with jax.enable_x64(self.is_double):
            return leave_one_out(
                self.fitted, self.sample(draws, sites=self.fitted.sites().latent), unit=unit, model=model
            )

    def held_out_bound(
        self, data: Any, *, particles: int = 100, seed: int = 0, kwargs: Mapping[str, Any] | None = None
    ) -> "HeldOutBound":
        """Bounds on the log predictive density of data that were not fitted to, such as other cells, one by one.

        Unknowns of single cells are read off the new cells by the guide's network, those of all cells are drawn from
        the guide; see `diagnostics.held_out`. Computed in the precision of the fit.

        Args:
            data: New data as `svi` takes them: of a built model counts of the same genes, else the positional
                arguments.
            particles: Draws of the guide that each bound rests on.
            seed: Seed of the draws.
            kwargs: Keyword arguments that go with the new data; those of the fit when left out.

        Raises:
            ConfigurationError: the guide keeps numbers for every cell that it was fitted to, so that new cells have
                no posterior; or keyword arguments of the fit belong to the old data, and none are given.
            DataError: the model observes all data in one number, or the new data are not of the kind of the old.
        """
        from modelwright.bayesian.diagnostics.held_out import held_out_bound

        return held_out_bound(
            self.guide,
            self._values,
            self.fitted,
            data,
            particles=particles,
            seed_number=seed,
            guide_seed=self.settings["seed"],
            double=self.is_double,
            kwargs=kwargs,
        )

    def save(self, folder: Path | str) -> Path:
        """Write parameters, ELBO and settings to a folder; `load` reads them back beside model, guide and data."""
        document = {
            "ended": self.ended,
            "interrupted": self.interrupted,
            "settings": dict(self.settings),
            "seconds": self.seconds,
            "has_mutable": self.mutable is not None,
            "coords": {name: list(labels) for name, labels in self.fitted.coords.items()},
            "dims": {name: list(names) for name, names in self.fitted.dims.items()},
        }
        groups = {"params": self.params, "mutable": self.mutable or {}, "touched": self.touched}
        return write_fit(Path(folder), "svi", {**groups, "trace": {"elbo": self.elbo}}, document)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        data: Any,
        *,
        kwargs: Mapping[str, Any] | None = None,
    ) -> "VariationalFit":
        """Read back what `save` wrote, beside the model, the guide and the data it was fitted to.

        Raises:
            NotFoundError: there is no such fit. StorageError: its files are damaged.
        """
        groups, document = read_fit(folder, "svi")
        settings = document["settings"]
        with jax.enable_x64(bool(settings["double"])):
            args = data_as_fitted(model, data, guide, batch_size=settings["batch_size"])
            call = Call.of(args, kwargs or {}, constant=settings["constant_data"])
            settled = settled_guide(guide, call, settings["seed"])
        return cls(
            model=model,
            guide=settled,
            fitted=Subject(model, call, document["coords"], document["dims"]),
            params=groups.get("params", {}),
            mutable=groups.get("mutable", {}) if document["has_mutable"] else None,
            elbo=groups["trace"]["elbo"],
            touched=groups.get("touched", {}),
            ended=document["ended"],
            interrupted=document["interrupted"],
            settings=settings,
            seconds=document["seconds"],
        )


def _in_double(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
