"""All laws, those of every model first."""

<<<<<<< HEAD
from modelwright.generative.laws.flow import FLOW_LAWS
from modelwright.generative.laws.general import GENERAL_LAWS
from modelwright.generative.laws.law import Law
from modelwright.generative.laws.vae import VAE_LAWS

<<<<<<< HEAD
LAWS: tuple[Law, ...] = (*GENERAL_LAWS, *FLOW_LAWS)
=======
from modelwright.generative.laws.autoregressive import AUTOREGRESSIVE_LAWS
from modelwright.generative.laws.general import GENERAL_LAWS
from modelwright.generative.laws.law import Law

LAWS: tuple[Law, ...] = (*GENERAL_LAWS, *AUTOREGRESSIVE_LAWS)
>>>>>>> autoregressive
=======
LAWS: tuple[Law, ...] = (*GENERAL_LAWS, *VAE_LAWS)
>>>>>>> vae
