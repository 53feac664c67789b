"""All laws, those of every model first."""

from modelwright.generative.laws.autoregressive import AUTOREGRESSIVE_LAWS
from modelwright.generative.laws.general import GENERAL_LAWS
from modelwright.generative.laws.law import Law

LAWS: tuple[Law, ...] = (*GENERAL_LAWS, *AUTOREGRESSIVE_LAWS)
