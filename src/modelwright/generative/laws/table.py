"""All laws, those of every model first."""

from modelwright.generative.laws.autoregressive import AUTOREGRESSIVE_LAWS
from modelwright.generative.laws.codec import CODEC_LAWS
from modelwright.generative.laws.codes import CODE_LAWS
from modelwright.generative.laws.flow import FLOW_LAWS
from modelwright.generative.laws.general import GENERAL_LAWS
from modelwright.generative.laws.law import Law
from modelwright.generative.laws.likelihood import LIKELIHOOD_LAWS
from modelwright.generative.laws.vae import VAE_LAWS

LAWS: tuple[Law, ...] = (
    *GENERAL_LAWS,
    *VAE_LAWS,
    *LIKELIHOOD_LAWS,
    *CODE_LAWS,
    *FLOW_LAWS,
    *AUTOREGRESSIVE_LAWS,
    *CODEC_LAWS,
)
