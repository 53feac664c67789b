"""The names of what the extensions add to the event-rate model, the same in every engine, trace and table."""

COVARIATES, TEMPORAL, VOLUMES, ZERO_INFLATION, DRIFT = (
    "covariates",
    "temporal",
    "volumes",
    "zero_inflation",
    "drift",
)

BETA = "beta"
"""Effects of entity-level columns on the log rate, one per coefficient."""

GAMMA = "gamma"
"""Effects of window-level columns on the log rate, one per window coefficient."""

RHO = "rho"
"""Correlation of an entity's log deviations in neighbouring windows."""

TAU = "tau"
"""Standard deviation of a log deviation."""

LOG_DEVIATION = "log_deviation"
"""How far the log rate of a window lies from its entity's usual one, a_ij, shape (n_obs,)."""

PSI = "psi"
"""Probability that a window is active; a window that is not has no events."""

DRIFT_SCALE = "drift_scale"
"""Scale of the drift: of one step of the random walk, or of a season's effect."""

RATE_SD = "rate_sd"
"""Standard deviation of the log rates of the population, where rates are log-normal."""

NU = "nu"
"""Log volume per event of one entity."""

VOLUME_MEAN = "volume_mean"
"""Mean of `nu` over the population."""

VOLUME_SD = "volume_sd"
"""Standard deviation of `nu` over the population."""

SIGMA = "sigma"
"""Standard deviation of the log volume of a window around its entity's."""

CORRELATION = "correlation"
"""Correlation of log rate and log volume per event over the population."""

BETA_RAW, GAMMA_RAW, DRIFT_RAW, DEVIATION_RAW = "beta_raw", "gamma_raw", "drift_raw", "deviation_raw"
LOG_THETA, THETA_STANDARD, NU_STANDARD, CORRELATION_RAW = (
    "log_theta",
    "theta_standard",
    "nu_standard",
    "correlation_raw",
)
"""What is sampled instead, and not kept in a trace."""

VOLUME = "volume"
"""Volume of the events of a window, shape (n_obs,), NaN where there is no event."""

COEFFICIENT = "coefficient"
WINDOW_COEFFICIENT = "window_coefficient"
WINDOW = "window"
"""Dimensions of `beta`, `gamma` and of the drift by random walk."""
