"""Parts that builders compose: likelihoods, guide families, amortizers, and what they see of the data."""

from modelwright.bayesian.components.amortized_guide import AmortizedGuide
from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.conditional_guide import ConditionalGuide
from modelwright.bayesian.components.correlations import unconstrained_correlations
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood, PoissonLikelihood
from modelwright.bayesian.components.decoders import Decoder
from modelwright.bayesian.components.flow_guide import NormalizingFlowGuide
from modelwright.bayesian.components.grouped_amortized_guide import GroupedAmortizedGuide
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, LowRankGuide, MeanFieldGuide
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.bayesian.components.joint_low_rank import AbstractJointGuideFamily, JointLowRankGuide
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.components.mixture_likelihood import MixtureLikelihood
from modelwright.bayesian.components.observed import ObservedCounts, observe
from modelwright.bayesian.components.setup_guide import setup_guide
from modelwright.bayesian.components.sufficient_statistics import (
    COUNTS,
    MEAN_AND_VARIANCE,
    NON_ZERO_COUNT,
    TOTAL_COUNT,
    SufficientStatistic,
    counts_of,
)
from modelwright.bayesian.components.value_likelihoods import GaussianLikelihood, LogNormalLikelihood

__all__ = [
    "COUNTS",
    "MEAN_AND_VARIANCE",
    "NON_ZERO_COUNT",
    "TOTAL_COUNT",
    "AbstractGuideFamily",
    "AbstractJointGuideFamily",
    "AbstractLikelihood",
    "AmortizedGuide",
    "Amortizer",
    "ConditionalGuide",
    "Decoder",
    "GaussianLikelihood",
    "GroupedAmortizedGuide",
    "GuideContext",
    "GuideSite",
    "JointLowRankGuide",
    "LogNormalLikelihood",
    "LowRankGuide",
    "MeanFieldGuide",
    "MixtureLikelihood",
    "NegativeBinomialLikelihood",
    "NormalizingFlowGuide",
    "ObservedCounts",
    "PoissonLikelihood",
    "Start",
    "SufficientStatistic",
    "counts_of",
    "observe",
    "setup_guide",
    "unconstrained_correlations",
]
