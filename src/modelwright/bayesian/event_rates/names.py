"""The names of the event-rate model, the same in every engine, trace and table."""

MU = "mu"
"""Population mean rate, events per unit of exposure."""

ALPHA = "alpha"
"""Rate of the population's Gamma distribution; larger means that entities are more alike."""

SHAPE = "shape"
"""Shape of the population's Gamma distribution, mu alpha; sampled instead of `mu` when it is what has a prior."""

PHI = "phi"
"""Concentration of the negative binomial: variance = mean + mean**2 / phi."""

THETA = "theta"
"""Rate of one entity, events per unit of exposure."""

THETA_RAW = "theta_raw"
"""The variable that is sampled instead of `theta` by the parameterisations that rescale; not kept in a trace."""

Y = "y"
"""The counts."""

ENTITY = "entity"
"""Dimension of `theta`; its coordinates are the entities' labels."""

OBS = "obs"
"""Dimension of `y`; its coordinates are 0, 1, ..., n_obs - 1."""

ENTITY_IDX = "entity_idx"
"""Constant data: the position of each observation's entity, shape (n_obs,)."""

EXPOSURE = "exposure"
"""Constant data: the length of each window in units of exposure, shape (n_obs,)."""

WINDOW_START = "window_start"
"""Constant data: the start of each window, nanoseconds since 1970-01-01 UTC, shape (n_obs,)."""


def hyperparameters(likelihood: str) -> tuple[str, ...]:
    """The names of the population's parameters; a Poisson likelihood has no concentration.

    Example:
        >>> hyperparameters("poisson")
        ('mu', 'alpha')
    """
    return (MU, ALPHA) if likelihood == "poisson" else (MU, ALPHA, PHI)


def parameter_names(likelihood: str) -> tuple[str, ...]:
    """What a trace's posterior holds, in reading order.

    Example:
        >>> parameter_names("negative_binomial")
        ('mu', 'alpha', 'phi', 'theta')
    """
    return (*hyperparameters(likelihood), THETA)
