"""Model and guide builders: specifications, a likelihood and guide families composed into plain NumPyro callables."""

from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.guide_builder import GuideBuilder
from modelwright.bayesian.builders.latent_specs import GaussianLatentSpec, LatentSpec, NormalizingFlowLatentSpec
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.model_builder import ModelBuilder
from modelwright.bayesian.builders.parameter_specs import (
    BetaPrimeSpec,
    BetaSpec,
    DirichletSpec,
    ExpNormalSpec,
    ExponentialSpec,
    GammaSpec,
    HalfNormalSpec,
    LogNormalSpec,
    NormalSpec,
    SigmoidNormalSpec,
    SoftplusNormalSpec,
)
from modelwright.bayesian.builders.prior_sampling import sample_prior
from modelwright.bayesian.builders.specification import AbstractParamSpec

__all__ = [
    "AbstractParamSpec",
    "BetaPrimeSpec",
    "BetaSpec",
    "DirichletSpec",
    "ExpNormalSpec",
    "ExponentialSpec",
    "GammaSpec",
    "GaussianLatentSpec",
    "Guide",
    "GuideBuilder",
    "HalfNormalSpec",
    "LatentSpec",
    "LogNormalSpec",
    "Model",
    "ModelBuilder",
    "NormalSpec",
    "NormalizingFlowLatentSpec",
    "SigmoidNormalSpec",
    "SoftplusNormalSpec",
    "sample_prior",
]
