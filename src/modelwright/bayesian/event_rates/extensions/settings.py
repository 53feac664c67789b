"""What can be added to the event-rate model, with its priors, and which combinations make no sense.

    mean_ij = theta_i exposure_ij exp(w_ij gamma + drift_j + a_ij),      log theta_i = x_i beta + log g_i

with g_i from the base model's population, so that the base model is the case without any of them.
"""

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelwright.bayesian.event_rates.config import ModelConfig, Real
from modelwright.bayesian.event_rates.engines import NOT_COLLAPSIBLE
from modelwright.bayesian.event_rates.extensions import names
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest, suggestion
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import CALENDAR_NAMES

Extension = Literal["covariates", "temporal", "volumes", "zero_inflation", "drift"]
Drift = Literal["random_walk", "day_of_week", "hour_of_day"]


class Extensions(BaseModel):
    """What is added to the event-rate model.

        covariates       log theta_i = x_i beta + log g_i;  a factor exp(w_ij gamma) of each window
        temporal         a factor exp(a_ij):  a_ij = rho^gap a_i,j-1 + sqrt(1 - rho^(2 gap)) tau z_ij,  z ~ Normal(0, 1)
        volumes          log v_ij ~ Normal(nu_i + log y_ij, sigma) where y_ij > 0;  (log theta_i, nu_i) ~ Normal
        zero_inflation   y_ij = 0 with probability 1 - psi, else as before
        drift            a factor exp(drift_j) common to all entities

    Covariates: a column that is constant within every entity acts on its rate, any other on its windows. Numbers are
    centred and scaled to standard deviation 1 (over entities or windows); texts have one coefficient per value, and
    those of one column sum to zero, so that no value is singled out as a reference. Either way `mu` stays the mean rate
    at the average covariates. Each coefficient is Normal(0, coefficient_prior_sd) by itself.

    Temporal: rho ~ Beta(2, 2) on (0, 1). Activity persists rather than alternates, rho^gap must mean something for any
    gap between two windows, and at the ends nothing could be told: with rho = 0 a deviation is one more dispersion
    beside phi, with rho = 1 a constant beside theta.

    Volumes: rates are log-normal here instead of Gamma, for correlation has a meaning between two normal effects:
    log theta_i ~ Normal(log mu + x_i beta, rate_sd), so that `mu` is the median rate. There is no `alpha`. The prior of
    the correlation is LKJ(2), which for two effects is (1 + correlation)/2 ~ Beta(2, 2). The two standard deviations
    are Gamma(2, 2/spread_prior_mean), which keeps away from zero, where a correlation means nothing.

    Zero inflation: psi ~ Beta(2, 1), the probability of being active, as in PyMC's ZeroInflatedNegativeBinomial.

    Drift: "random_walk" over the windows, steps ~ Normal(0, drift_scale sqrt(gap)), or one effect ~
    Normal(0, drift_scale) per day of the week or hour of the day. Effects sum to zero over the windows or seasons;
    what is common to all is `mu`'s.

    Args:
        chosen: Any of "covariates", "temporal", "volumes", "zero_inflation", "drift", or a text with commas.
        covariates: Columns of the data, or of the calendar: day_of_week, hour_of_day, weekend, month.
        drift: How the common factor moves.
        coefficient_prior_sd: Standard deviation of every coefficient.
        tau_prior_sd: Scale of the half-normal prior on `tau`.
        drift_prior_sd: Scale of the half-normal prior on `drift_scale`.
        spread_prior_mean: Mean of the Gamma(2) priors on `rate_sd` and `volume_sd`.
        volume_prior_mean: Mean of the normal prior on `volume_mean`, the log volume per event.
        volume_prior_sd: Its standard deviation; 10 covers e^20 either way.
        sigma_prior_sd: Scale of the half-normal prior on `sigma`.

    Raises:
        ConfigurationError: from `create`, naming the field, what was expected and what came.

    Example:
        >>> Extensions.create(chosen="zero_inflation, drift", drift="day_of_week").chosen
        ('zero_inflation', 'drift')
        >>> Extensions.create(chosen="covariate")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: extension: not an extension; got 'covariate'; did you mean \
'covariates'? known: covariates, temporal, volumes, zero_inflation, drift
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chosen: tuple[Extension, ...] = ()
    covariates: tuple[str, ...] = ()
    drift: Drift = "random_walk"
    coefficient_prior_sd: Real = Field(default=1.0, ge=1e-6, le=1e6)
    tau_prior_sd: Real = Field(default=0.5, ge=1e-6, le=1e6)
    drift_prior_sd: Real = Field(default=0.5, ge=1e-6, le=1e6)
    spread_prior_mean: Real = Field(default=1.0, ge=1e-6, le=1e6)
    volume_prior_mean: Real = Field(default=0.0, ge=-1e6, le=1e6)
    volume_prior_sd: Real = Field(default=10.0, ge=1e-6, le=1e6)
    sigma_prior_sd: Real = Field(default=1.0, ge=1e-6, le=1e6)

    @field_validator("chosen", "covariates", mode="before")
    @classmethod
    def _a_text_with_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(dict.fromkeys(value)) if isinstance(value, list | tuple) else value

    @classmethod
    def create(cls, **kwargs: Any) -> Self:
        """Extensions from keywords, or a `ConfigurationError` that names the first field that is wrong."""
        try:
            return cls(**kwargs)
        except ValidationError as error:
            raise _refusal(error, cls) from error

    def has(self, *extensions: str) -> bool:
        """Whether all of these are chosen."""
        return all(extension in self.chosen for extension in extensions)


def check_combination(
    extensions: Extensions, config: ModelConfig, data: EventCounts, *, engine: str | None = None
) -> None:
    """Refuse what cannot work together, before anything is computed.

    Args:
        extensions: What is added.
        config: The base model.
        data: What it would be trained on.
        engine: Who would sample; not looked at when left out.

    Raises:
        ConfigurationError: naming the setting at fault, the reason and what to do.
        DataError: for columns that cannot be used.
    """
    _refuse_settings(extensions, config)
    if engine == "collapsed":
        for name in extensions.chosen:
            if name in NOT_COLLAPSIBLE:
                raise ConfigurationError(
                    f"the rates cannot be integrated out with {name}: {NOT_COLLAPSIBLE[name]}",
                    field="engine",
                    expected="numpyro, pymc or nutpie",
                    got=engine,
                    todo="leave the engine to auto",
                )
    for name in (names.TEMPORAL, names.DRIFT):
        if extensions.has(name) and data.window_start is None:
            raise ConfigurationError(
                f"{name} needs the windows' times, and these data have none",
                field="extension",
                got=name,
                todo=f"name the column of times, or leave out {name}",
            )
    from modelwright.bayesian.event_rates.extensions.design import design_of

    design_of(data, extensions)


def _refuse_settings(extensions: Extensions, config: ModelConfig) -> None:
    if not extensions.chosen:
        raise ConfigurationError(
            "nothing is chosen", field="extension", expected=", ".join(get_args(Extension)), todo="choose at least one"
        )
    if extensions.has(names.COVARIATES) and not extensions.covariates:
        raise ConfigurationError(
            "no column is named",
            field="covariates",
            expected=f"columns of the data, or of the calendar: {', '.join(CALENDAR_NAMES)}",
            todo="name at least one: --covariates COLUMN or --calendar day_of_week",
        )
    for field, extension in (("covariates", names.COVARIATES), ("drift", names.DRIFT)):
        if field in extensions.model_fields_set and getattr(extensions, field) and not extensions.has(extension):
            raise ConfigurationError(
                f"given, but {extension} is not among the extensions",
                field=field,
                got=getattr(extensions, field),
                todo=f"add {extension} to the extensions, or leave {field} out",
            )
    if extensions.has(names.DRIFT, names.COVARIATES) and extensions.drift in extensions.covariates:
        raise _the_same_twice(extensions.drift)
    if extensions.has(names.VOLUMES):
        _refuse_gamma_settings(config)


def _the_same_twice(column: str) -> ConfigurationError:
    return ConfigurationError(
        f"drift by {column} and the covariate {column} are the same thing twice",
        field="covariates",
        got=column,
        todo=f"leave {column} out of the covariates, or take drift=random_walk",
    )


def _refuse_gamma_settings(config: ModelConfig) -> None:
    """With volumes rates are log-normal: what is said of a Gamma distribution would be read by nobody."""
    if config.parameterization == "mean_scaled":
        raise ConfigurationError(
            "with volumes the rates are log-normal, and mean_scaled is a way to write Gamma rates",
            field="parameterization",
            expected="'centered' or 'noncentered'",
            got=config.parameterization,
            todo="choose another parameterization, or leave volumes out",
        )
    defaults = {name: field.default for name, field in ModelConfig.model_fields.items()}
    for field in ("shape_prior", "alpha_prior", "alpha_prior_sd"):
        given = getattr(config, field, None)
        if given is not None and given != defaults.get(field):
            raise ConfigurationError(
                "with volumes the rates are log-normal and there is no alpha",
                field=field,
                got=given,
                todo=f"leave {field} out and give spread_prior_mean, or leave volumes out",
            )


def _refusal(error: ValidationError, settings: type[BaseModel]) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    got, known = first.get("input"), list(settings.model_fields)
    if first["type"] == "extra_forbidden":
        todo = suggestion(field, known, limit=len(known))
        return ConfigurationError("not a setting of the extensions", field=field, got=got, todo=todo)
    if field == "chosen" and first["type"] == "literal_error":
        todo = suggestion(str(got), get_args(Extension))
        return ConfigurationError("not an extension", field="extension", got=got, todo=todo)
    if first["type"] == "literal_error":
        choices = get_args(Drift)
        close = nearest(str(got), choices)
        todo = f"did you mean {close!r}?" if close else None
        expected = " or ".join(map(repr, choices))
        return ConfigurationError("not one of the choices", field=field, expected=expected, got=got, todo=todo)
    if field in ("chosen", "covariates"):
        field = "extension" if field == "chosen" else field
        return ConfigurationError("not usable", field=field, expected="names separated by commas", got=got)
    low, high = (-1e6 if field == "volume_prior_mean" else 1e-6), 1e6
    return ConfigurationError("not usable", field=field, expected=f"a number from {low:g} to {high:g}", got=got)
