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
            own, and SVI else.
        guide: SVI's guide of the genes' parameters: a normal distribution each with a "slopes" on the global parameter,
            "mean_field" without, "low_rank" with correlations between genes.
        rank: Of the low-rank guide.
        steps: The most steps of SVI.
        batch_size: Cells of a mini-batch of SVI; all of them when left out.
        likelihood: "compressed", "dense" or "auto".

    Raises:
        ConfigurationError: naming the setting, what was expected and what came.
    """

    model: Kind = "nbdm"
    parameterization: Parameterization = "mean_prob"
    priors: Priors = "own"
    inference: Inference = "auto"
    guide: GuideName = "slopes"
    rank: int = 10
    steps: int = 2000
    batch_size: int | None = None
    likelihood: Entries = "auto"

    def __post_init__(self) -> None:
        choices = {
            "model": Kind,
            "parameterization": Parameterization,
            "priors": Priors,
            "inference": Inference,
            "guide": GuideName,
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
        if self.batch_size is not None and self.inference not in ("svi", "auto"):
            raise ConfigurationError(
                f"{self.inference} looks at all cells at once",
                field="batch_size",
                got=self.batch_size,
                todo="take inference=svi, or leave batch_size out",
            )

    @property
    def captures(self) -> bool:
        """Whether every cell has a capture probability."""
        return self.model in ("nbvcp", "zinbvcp")

    @property
    def chosen_inference(self) -> tuple[str, str]:
        """Who fits, and why."""
        if self.inference != "auto":
            return self.inference, "as asked"
        if self.batch_size is not None:
            return "svi", "mini-batches are asked for"
        if self.captures:
            return "svi", "every cell has a parameter of its own, so that the curvature has no simple shape"
        return "laplace", "the posterior of thousands of counts per gene is nearly normal, and its curvature is exact"

    @property
    def genes_guide(self) -> AbstractGuideFamily:
        """Family of the genes' parameters."""
        if self.guide == "mean_field":
            return MeanFieldGuide()
        if self.guide == "low_rank":
            return LowRankGuide(self.rank)
        return ConditionalGuide(on=("phi" if self.parameterization == "mean_odds" else "p",))
