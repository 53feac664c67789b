"""What is asked of a training of a count model, checked."""

from dataclasses import dataclass
from typing import Literal, get_args

from modelwright.bayesian.builders.model import Entries
from modelwright.bayesian.components.conditional_guide import ConditionalGuide
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, LowRankGuide, MeanFieldGuide
from modelwright.bayesian.single_cell.count_models import Kind, Parameterization
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

Inference = Literal["auto", "laplace", "svi", "nuts"]
GuideName = Literal["slopes", "mean_field", "low_rank"]
Priors = Literal["own", "canonical"]


@dataclass(frozen=True)
class CountModelSettings:
    """How to fit which count model.

    Args:
        model: "nbdm", "zinb", "nbvcp" or "zinbvcp".
        parameterization: "canonical", "mean_prob" or "mean_odds".
        priors: "own" of the parameterisation, or "canonical" in other coordinates.
        inference: "laplace", "svi" or "nuts"; "auto" takes Laplace's approximation where a cell has no parameter of its
            own or it is integrated out (nbvcp), and SVI else.
        guide: SVI's guide of the genes' parameters: "slopes" (a normal distribution each with a slope on the global
            parameter; taken when left out), "mean_field" (without), "low_rank" (with correlations between genes).
        rank: Of the low-rank guide; 10 when left out.
        steps: The most steps of SVI; 2,000 when left out.
        batch_size: Cells of a mini-batch of SVI; all of them when left out.
        likelihood: "compressed", "dense" or "auto".

    Raises:
        ConfigurationError: naming the setting, what was expected and what came.
    """

    model: Kind = "nbdm"
    parameterization: Parameterization = "mean_prob"
    priors: Priors = "own"
    inference: Inference = "auto"
    guide: GuideName | None = None
    rank: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    likelihood: Entries = "auto"

    def __post_init__(self) -> None:
        choices = {
            "model": Kind,
            "parameterization": Parameterization,
            "priors": Priors,
            "inference": Inference,
            **({"guide": GuideName} if self.guide is not None else {}),
            "likelihood": Entries,
        }
        for field, kind in choices.items():
            given, known = getattr(self, field), get_args(kind)
            if given not in known:
                raise ConfigurationError(
                    "not one of the choices",
                    field=field,
                    expected=" or ".join(known),
                    got=given,
                    todo=suggestion(str(given), known),
                )
        if self.inference in ("laplace", "nuts") and self.of_svi:
            raise ConfigurationError(
                f"a setting of SVI, and {self.inference} was asked for",
                field=self.of_svi[0],
                got=getattr(self, self.of_svi[0]),
                todo=f"take inference=svi, or leave {self.of_svi[0]} out",
            )
        if self.rank is not None and self.guide != "low_rank":
            raise ConfigurationError(
                "only the low-rank guide has a rank", field="rank", got=self.rank, todo="take guide=low_rank"
            )
        if self.likelihood == "compressed" and self.batch_size is not None:
            raise ConfigurationError(
                "mini-batches look at their cells entry by entry",
                field="likelihood",
                expected="auto or dense",
                got=self.likelihood,
                todo="leave batch_size out",
            )

    @property
    def of_svi(self) -> tuple[str, ...]:
        """The settings given that only SVI has."""
        return tuple(name for name in ("guide", "rank", "steps", "batch_size") if getattr(self, name) is not None)

    @property
    def captures(self) -> bool:
        """Whether every cell has a capture probability."""
        return self.model in ("nbvcp", "zinbvcp")

    @property
    def integrates_cells(self) -> bool:
        """Whether capture probabilities are integrated out and drawn after the fit."""
        return self.model == "nbvcp" and self.likelihood != "dense"

    @property
    def chosen_inference(self) -> tuple[str, str]:
        """Who fits, and why."""
        if self.inference != "auto":
            return self.inference, "as asked"
        if self.of_svi:
            return "svi", f"{self.of_svi[0]} is a setting of it"
        if self.integrates_cells:
            return "laplace", "with cells integrated out the posterior of the genes is nearly normal"
        if self.captures:
            return "svi", "every cell has a parameter of its own, so that the curvature has no simple shape"
        return "laplace", "with many counts per gene the posterior is nearly normal, and its curvature is exact"

    @property
    def genes_guide(self) -> AbstractGuideFamily:
        """Family of the genes' parameters."""
        if self.guide == "mean_field":
            return MeanFieldGuide()
        if self.guide == "low_rank":
            return LowRankGuide(10 if self.rank is None else self.rank)
        return ConditionalGuide(on=("phi" if self.parameterization == "mean_odds" else "p",))
