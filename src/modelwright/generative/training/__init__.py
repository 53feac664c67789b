"""The one trainer: many steps for each call of compiled code, resumable to the bit."""

from modelwright.generative.training.course import Fit
from modelwright.generative.training.defaults import TrainingDefaults
from modelwright.generative.training.examples import Rows, Windows
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.trainer import Trainer

__all__ = ["Fit", "Rows", "Trainer", "TrainingDefaults", "TrainingSettings", "Windows"]
