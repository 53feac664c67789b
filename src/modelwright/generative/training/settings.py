"""How to train: everything that decides the result besides model and data, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.core.seeds import check_seed
from modelwright.core.values import Refusal, to_float, to_integer

SCHEDULES = ("constant", "cosine", "linear")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Args:
        batch_size: Examples of one update; all of them where there are fewer.
        learning_rate: Of Adam, at its highest.
        schedule: constant; or falling to `final_rate` over the steps as a cosine, or along a line.
        final_rate: Learning rate at the end of a schedule that falls, as a share of `learning_rate`.
        warm_up: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW, on kernels and embeddings only, not on biases and scales.
        beta2: Decay of Adam's second moment.
        clip: Largest norm of the whole gradient; None leaves it as it is.
        ema: Decay of a moving average of the parameters, which is then what is evaluated and kept; None for none.
        precision: float32, or bfloat16 for the networks (what is trained, and the optimiser, stay in float32).
        seed: Of the order of the data and of whatever is random in the losses.

    Raises:
        ConfigurationError: naming the setting, what was expected and what came.

    Source: D. Kingma, J. Ba (2015), https://arxiv.org/abs/1412.6980; I. Loshchilov, F. Hutter (2019),
    https://arxiv.org/abs/1711.05101.

    Example:
        >>> TrainingSettings(batch_size=64).learning_rate
        0.001
        >>> TrainingSettings.from_mapping({"learning_rte": 0.1})
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: learning_rte: no such training setting; did you mean \
'learning_rate'? known: batch_size, learning_rate, schedule, final_rate, warm_up, weight_decay, beta2, clip, ema, \
precision, seed
    """

    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    final_rate: float = 0.0
    warm_up: int = 0
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float | None = None
    ema: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        self._whole("batch_size", 1)
        self._whole("warm_up", 0)
        self._number("learning_rate", 0.0, 1e3, open_below=True)
        self._number("final_rate", 0.0, 1.0)
        self._number("weight_decay", 0.0, 1e3)
        self._number("beta2", 0.0, 1.0, open_above=True)
        if self.clip is not None:
            self._number("clip", 0.0, 1e30, open_below=True)
        if self.ema is not None:
            self._number("ema", 0.0, 1.0, open_above=True)
        self._choice("schedule", SCHEDULES)
        if self.final_rate and self.schedule == "constant":
            raise ConfigurationError(
                "a constant learning rate does not fall",
                field="final_rate",
                expected="none beside schedule 'constant'",
                got=self.final_rate,
                todo="choose the schedule cosine or linear, or leave final_rate out",
            )
        self._choice("precision", PRECISIONS)
        check_seed(self.seed)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a mapping, such as a zoo entry's training defaults; an unknown name is refused."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigurationError("no such training setting", field=name, todo=suggestion(name, known))
        return cls(**values)

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        try:
            number = to_integer(value)
        except Refusal:
            number = least - 1
        if number < least:
            raise ConfigurationError(
                "not accepted", field=name, expected=f"a whole number of at least {least}", got=value
            )
        object.__setattr__(self, name, number)

    def _number(
        self, name: str, least: float, most: float, *, open_below: bool = False, open_above: bool = False
    ) -> None:
        value = getattr(self, name)
        try:
            number = to_float(value)
            fine = (number > least if open_below else number >= least) and (
                number < most if open_above else number <= most
            )
        except Refusal:
            fine = False
        if not fine:
            low, high = ("above" if open_below else "from"), ("below" if open_above else "")
            span = f"a number {low} {least:g} to {high} {most:g}".replace("to  ", "to ")
            raise ConfigurationError("not accepted", field=name, expected=span, got=value)
        object.__setattr__(self, name, number)

    def _choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ConfigurationError("not accepted", field=name, expected="one of " + ", ".join(choices), got=value)
