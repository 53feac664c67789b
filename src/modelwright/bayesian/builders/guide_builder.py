"""Composing a guide from specifications and the families they name, and holding it against its model."""

from collections.abc import Iterable, Sequence
from typing import Any, Self, final

from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.specification import AbstractParamSpec
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, MeanFieldGuide
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion


@final
class GuideBuilder:
    """Collects parameters with their guide families, and latent variables with their encoders.

    A parameter without a family of its own gets the default one: no parameter is ever left out.

    Args:
        default: Family of the parameters that name none.

    Example:
        >>> from modelwright.bayesian.builders import BetaSpec, LogNormalSpec
        >>> from modelwright.bayesian.components import LowRankGuide, MeanFieldGuide
        >>> guide = GuideBuilder().from_specs([
        ...     BetaSpec("p", (), (1.0, 1.0), guide_family=MeanFieldGuide()),
        ...     LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), guide_family=LowRankGuide(rank=10)),
        ... ]).build()
        >>> guide.families["mu"]
        LowRankGuide(rank=10)
    """

    def __init__(self, default: AbstractGuideFamily | None = None) -> None:
        self._default = MeanFieldGuide() if default is None else default
        self._specs: list[AbstractParamSpec] = []
        self._groups: dict[str, Any] = {}
        self._lengths: dict[str, int] = {}

    def from_specs(self, specs: Iterable[AbstractParamSpec]) -> Self:
        """Add parameters with the families they name.

        Raises:
            ConfigurationError: something is no specification, or a name comes twice.
        """
        for spec in specs:
            if not isinstance(spec, AbstractParamSpec):
                raise ConfigurationError(
                    "not a specification", field="specs", expected='such as BetaSpec("p", (), (1.0, 1.0))', got=spec
                )
            if any(spec.name == other.name for other in self._specs):
                raise ConfigurationError(f"{spec.name!r} is there already", field=spec.name)
            self._specs.append(spec)
        return self

    def for_model(self, model: Any) -> Self:
        """Add all parameters and latent variables of a built model."""
        self._lengths.update(model.lengths)
        for group in model.groups.values():
            self.add_latent(group)
        return self.from_specs(model.specs)

    def add_latent(self, group: Any) -> Self:
        """Add a latent variable with its encoder, a `GroupedAmortizedGuide`."""
        self._groups[group.latent_spec.sample_site] = group
        return self

    def build(self) -> Guide:
        """The guide.

        Raises:
            ConfigurationError: a family conditions on a variable that is not there, or families condition on each other
                in a circle, or one joint family is asked for cells and for what is no cell's.
        """
        families = {spec.name: spec.guide_family or self._default for spec in self._specs}
        return Guide(_in_order(self._specs, families), families, dict(self._groups), dict(self._lengths))


def _in_order(specs: Sequence[AbstractParamSpec], families: dict[str, AbstractGuideFamily]) -> tuple[Any, ...]:
    """Parameters of all cells first, each after those that its family conditions on."""
    by_name = {spec.name: spec for spec in specs}
    done: list[AbstractParamSpec] = []
    waiting = sorted(specs, key=lambda spec: bool(spec.is_cell_specific))
    while waiting:
        for spec in waiting:
            needed = families[spec.name].conditions_on
            for other in needed:
                if other not in by_name:
                    raise ConfigurationError(
                        f"its guide conditions on {other!r}, which is no parameter of the guide",
                        field=spec.name,
                        todo=suggestion(other, by_name),
                    )
                if by_name[other].is_cell_specific and not spec.is_cell_specific:
                    raise ConfigurationError(
                        f"its guide conditions on {other!r}, which every cell has its own of", field=spec.name
                    )
            if all(by_name[other] in done for other in needed):
                done.append(spec)
                waiting.remove(spec)
                break
        else:
            raise ConfigurationError(
                "guides condition on each other in a circle",
                field=waiting[0].name,
                got=" -> ".join(spec.name for spec in waiting),
            )
    return tuple(done)
