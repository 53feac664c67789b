"""ArviZ, imported without the announcement of its next version that it makes once a day and user.

    from modelwright.bayesian.quiet_arviz import az

Where warnings are errors the announcement would keep ArviZ from being imported at all, every time. PyMC imports ArviZ,
too: a module that needs PyMC imports this one first.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=FutureWarning, message=r"\s*ArviZ is undergoing")
    import arviz as az

__all__ = ["az"]
