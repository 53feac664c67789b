"""From which value a convergence statistic is good, a warning or a problem, and where the value comes from.

| statistic | good | warning | problem | source |
|---|---|---|---|---|
| largest R-hat | below 1.01 | from 1.01 | from 1.05 | Vehtari et al. (2021): 1.01; 1.05 is the laxer older habit |
| smallest bulk and tail ESS | from 400 | below 400 | below 100 | Vehtari et al. (2021): 50 per split chain of four |
| divergent transitions | 0 | 1 to 10 | more than 10 | Betancourt (2017): any one may point at a bias; 10 is arbitrary |
| draws at the largest tree depth | 0 | up to 5 % | above 5 % | costs efficiency, not validity; 5 % is arbitrary |
| smallest E-BFMI | from 0.3 | below 0.3 | below 0.2 | Betancourt (2016): 0.2; Stan and ArviZ: 0.3 |
| k-hat of the proposal | up to 0.7 | | above 0.7 | Vehtari, Simpson, Gelman, Yao and Gabry (2024): 0.7 |
| smallest acceptance rate | from 0.3 | below 0.3 | 0 | a rate of a leaves about a / (2 - a) of the draws; arbitrary |

The last two are for draws that were proposed independently of each other; divergences, tree depth and energies belong
to NUTS and do not apply to them (see `sampler_checks`).

Sources: https://arxiv.org/abs/1903.08008, https://arxiv.org/abs/1701.02434, https://arxiv.org/abs/1604.00695,
https://jmlr.org/papers/v25/19-556.html.
"""

import math
from dataclasses import dataclass

from modelwright.core.verdict import Grade


@dataclass(frozen=True)
class Threshold:
    """Two limits on one statistic.

    Args:
        good: The limit of what is good.
        problem: The limit of what is a problem.
        words: The limits in words.
        larger_is_better: Whether large values are the good ones.
        good_at_limit: Whether a value equal to `good` is still good.
        problem_at_limit: Whether a value equal to `problem` is already a problem.

    Example:
        >>> [str(R_HAT.grade(value)) for value in (1.0099, 1.01, 1.05, None)]
        ['good', 'warning', 'problem', 'unknown']
    """

    good: float
    problem: float
    words: str
    larger_is_better: bool = False
    good_at_limit: bool = False
    problem_at_limit: bool = False

    def grade(self, value: float | None) -> Grade:
        """The grade of a value; unknown when there is none or it is not a number."""
        if value is None or math.isnan(value):
            return Grade.UNKNOWN
        sign = -1.0 if self.larger_is_better else 1.0  # as if small values were the good ones
        held, good, problem = sign * value, sign * self.good, sign * self.problem
        if held < good or (held == good and self.good_at_limit):
            return Grade.GOOD
        if held > problem or (held == problem and self.problem_at_limit):
            return Grade.PROBLEM
        return Grade.WARNING


R_HAT = Threshold(good=1.01, problem=1.05, problem_at_limit=True, words="good below 1.01, problem from 1.05")
ESS = Threshold(
    good=400, problem=100, larger_is_better=True, good_at_limit=True, words="good from 400, problem below 100"
)
DIVERGENCES = Threshold(good=0, problem=10, good_at_limit=True, words="good at 0, problem above 10")
SATURATION = Threshold(good=0, problem=0.05, good_at_limit=True, words="good at 0, problem above 5 % of the draws")
BFMI = Threshold(
    good=0.3, problem=0.2, larger_is_better=True, good_at_limit=True, words="good from 0.3, problem below 0.2"
)
NON_FINITE = Threshold(good=0, problem=0, good_at_limit=True, words="good at 0, problem above 0")
PROPOSAL_K_HAT = Threshold(good=0.7, problem=0.7, good_at_limit=True, words="good up to 0.7, problem above 0.7")
ACCEPTANCE = Threshold(
    good=0.3,
    problem=0.0,
    larger_is_better=True,
    good_at_limit=True,
    problem_at_limit=True,
    words="good from 0.3, problem at 0",
)
