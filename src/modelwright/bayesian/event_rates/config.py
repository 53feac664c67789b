"""What can be chosen about the event-rate model: priors, likelihood, parameterisation and how long to sample."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from modelwright.bayesian.event_rates.hyperpriors import Hyperprior, parse_hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest, suggestion
from modelwright.core.seeds import LARGEST_SEED

Parameterization = Literal["centered", "noncentered", "mean_scaled"]
Likelihood = Literal["negative_binomial", "poisson"]


def _number(value: Any) -> Any:
    """Refuse what Python would quietly take for a number: True is 1 and "3" is 3 to a lenient reader."""
    if isinstance(value, bool | str | bytes):
        raise ValueError("not a number")
    return value


Count = Annotated[int, BeforeValidator(_number)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


class ModelConfig(BaseModel):
    """The event-rate model and how to sample it.

        mu ~ mu_prior   alpha ~ alpha_prior   phi ~ phi_prior
        theta_i ~ Gamma(shape = mu * alpha, rate = alpha)
        y_ij ~ NegativeBinomial(mean = theta_i * exposure_ij, concentration = phi)

    so that `theta_i` has mean `mu`, variance `mu / alpha` and coefficient of variation `1 / sqrt(mu * alpha)`, and a
    count has variance `mean + mean**2 / phi`. With `likelihood="poisson"`, `y_ij ~ Poisson(theta_i * exposure_ij)` and
    there is no `phi`: right where an entity has one window, as in the pump data, and nothing could tell of `phi`.

    Priors are texts such as "gamma(0.1, 1)", see `hyperpriors`. Left out they are Exponential(mu_prior_rate),
    HalfNormal(alpha_prior_sd) and HalfNormal(overdispersion_prior_sd). The classic way to write the population is by
    its Gamma's own two numbers: `shape_prior` is a prior of `shape = mu * alpha` instead of one of `mu`, and `alpha` is
    the Gamma's rate already. `hyperpriors()` says which priors hold in the end.

    Parameterisations:
        centered: `theta` itself is sampled (its logarithm, by the engines).
        noncentered: `theta_raw ~ Gamma(mu * alpha, 1)` and `theta = theta_raw / alpha`. An exact rescaling: the same
            prior and the same posterior as centered, another path for the sampler.
        mean_scaled: `theta_raw ~ Gamma(alpha, alpha)` and `theta = mu * theta_raw`. *Another prior*: the coefficient of
            variation is `1 / sqrt(alpha)` whatever `mu` is. Its posterior differs from that of the other two.

    Centered is the default because counts usually pin each rate down. Of 4,000 draws, the worst mixing parameter had an
    effective sample size of 2528 (centered) against 463 (noncentered) on the pump failures, of 5791 against 76 on
    200 entities x 30 windows of mean 5, of 6278 against 348 on 6 x 20 Poisson counts of mean 1000, and of 319 against
    117 on 300 x 4 windows of mean 0.1 (printed by benchmarks/engine_agreement.py --parameterizations).

    Args:
        n_samples: Draws kept per chain.
        n_tune: Warm-up draws per chain, not kept.
        n_chains: Chains.
        target_accept: Acceptance probability that the step size is tuned to; closer to 1 takes smaller steps.
        random_seed: Seed of everything random in a training.
        mu_prior_rate: Rate of the exponential prior on `mu`; 0.1 puts the central 95 % on [0.25, 36.9] events per unit.
        alpha_prior_sd: Scale of the half-normal prior on `alpha`.
        overdispersion_prior_sd: Scale of the half-normal prior on `phi`.
        mu_prior: Prior of `mu`, instead of `mu_prior_rate`.
        shape_prior: Prior of `mu * alpha`, instead of one of `mu`; not with "mean_scaled", whose shape is `alpha`.
        alpha_prior: Prior of `alpha`, instead of `alpha_prior_sd`.
        phi_prior: Prior of `phi`, instead of `overdispersion_prior_sd`; not with a Poisson likelihood, which has none.
        parameterization: See above.
        likelihood: "negative_binomial" or "poisson".
        max_tree_depth: A trajectory has at most `2**max_tree_depth - 1` steps.

    Raises:
        ConfigurationError: from `create`, naming the field, what was expected and what came; also for two fields that
            contradict each other. (The constructor itself raises pydantic's ValidationError.)

    Example:
        >>> ModelConfig.create(n_samples=500).n_samples
        500
        >>> ModelConfig.create(n_sample=500)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: n_sample: not a setting of this model; got 500; did you mean \
'n_samples'? known: n_samples, n_tune, n_chains, target_accept, random_seed, mu_prior_rate, alpha_prior_sd, \
overdispersion_prior_sd, mu_prior, shape_prior, alpha_prior, phi_prior, parameterization, likelihood, max_tree_depth
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_samples: Count = Field(default=2000, ge=1, le=10_000_000)
    n_tune: Count = Field(default=1000, ge=1, le=10_000_000)
    n_chains: Count = Field(default=4, ge=1, le=1024)
    target_accept: Real = Field(default=0.9, gt=0.0, lt=1.0)
    random_seed: Count = Field(default=42, ge=0, le=LARGEST_SEED)
    mu_prior_rate: Real = Field(default=0.1, ge=1e-9, le=1e6)
    alpha_prior_sd: Real = Field(default=2.0, ge=1e-9, le=1e6)
    overdispersion_prior_sd: Real = Field(default=2.0, ge=1e-9, le=1e6)
    mu_prior: str | None = None
    shape_prior: str | None = None
    alpha_prior: str | None = None
    phi_prior: str | None = None
    parameterization: Parameterization = "centered"
    likelihood: Likelihood = "negative_binomial"
    max_tree_depth: Count = Field(default=10, ge=1, le=20)

    @field_validator("mu_prior", "shape_prior", "alpha_prior", "phi_prior", mode="before")
    @classmethod
    def _in_one_spelling(cls, value: Any, info: ValidationInfo) -> str | None:
        if value is None or isinstance(value, Hyperprior):
            return None if value is None else str(value)
        return str(parse_hyperprior(value, field=str(info.field_name)))

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        for given, number in _INSTEAD_OF:
            if getattr(self, given) is not None and getattr(self, number) != type(self).model_fields[number].default:
                raise _contradiction(given, self, f"{number} says another prior", f"leave out {number} or {given}")
        if self.shape_prior is not None and self.mu_prior is not None:
            todo = "leave out shape_prior or mu_prior"
            raise _contradiction("shape_prior", self, "mu = shape / alpha follows from it, and has a prior too", todo)
        if self.shape_prior is not None and self.parameterization == "mean_scaled":
            what = "in mean_scaled the shape is alpha itself"
            raise _contradiction("shape_prior", self, what, "give alpha_prior, or choose another parameterization")
        if self.phi_prior is not None and self.likelihood == "poisson":
            todo = "leave out phi_prior, or choose likelihood negative_binomial"
            raise _contradiction("phi_prior", self, "a Poisson likelihood has no phi", todo)
        given = self.overdispersion_prior_sd != type(self).model_fields["overdispersion_prior_sd"].default
        if given and self.likelihood == "poisson":
            todo = "leave out overdispersion_prior_sd, or choose likelihood negative_binomial"
            raise _contradiction("overdispersion_prior_sd", self, "a Poisson likelihood has no phi", todo)
        return self

    def hyperpriors(self) -> dict[str, Hyperprior]:
        """The priors that hold, in the order "mu" (or "shape", when that is what has one), "alpha", "phi".

        "phi" is absent with a Poisson likelihood. Everything that needs a prior asks here.

        Example:
            >>> {name: str(prior) for name, prior in ModelConfig(phi_prior="half_cauchy(1)").hyperpriors().items()}
            {'mu': 'exponential(0.1)', 'alpha': 'half_normal(2)', 'phi': 'half_cauchy(1)'}
        """
        found: dict[str, Hyperprior] = {}
        if self.shape_prior is not None:
            found[SHAPE] = parse_hyperprior(self.shape_prior, field="shape_prior")
        else:
            found[MU] = _chosen("mu_prior", self.mu_prior, "exponential", self.mu_prior_rate)
        found[ALPHA] = _chosen("alpha_prior", self.alpha_prior, "half_normal", self.alpha_prior_sd)
        if self.likelihood == "negative_binomial":
            found[PHI] = _chosen("phi_prior", self.phi_prior, "half_normal", self.overdispersion_prior_sd)
        return found

    @classmethod
    def create(cls, **kwargs: Any) -> Self:
        """A configuration from keywords, or a `ConfigurationError` that names the first field that is wrong."""
        try:
            return cls(**kwargs)
        except ValidationError as error:
            raise _refusal(error, cls) from error


_INSTEAD_OF = (
    ("mu_prior", "mu_prior_rate"),
    ("shape_prior", "mu_prior_rate"),
    ("alpha_prior", "alpha_prior_sd"),
    ("phi_prior", "overdispersion_prior_sd"),
)


def _chosen(field: str, text: str | None, default: str, argument: float) -> Hyperprior:
    return Hyperprior(default, (argument,)) if text is None else parse_hyperprior(text, field=field)


def _contradiction(field: str, config: ModelConfig, what: str, todo: str) -> ConfigurationError:
    return ConfigurationError(what, field=field, got=getattr(config, field), todo=todo)


def _refusal(error: ValidationError, config: type[BaseModel]) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return cause
    field = str(first["loc"][0]) if first["loc"] else ""
    got = first.get("input")
    if first["type"] == "extra_forbidden":
        known = list(config.model_fields)
        return ConfigurationError(
            "not a setting of this model", field=field, got=got, todo=suggestion(field, known, limit=len(known))
        )
    if first["type"] == "literal_error":
        choices = _choices(config, field)
        close = nearest(got, choices) if isinstance(got, str) else None
        todo = f"did you mean {close!r}?" if close else None
        return ConfigurationError(
            "not one of the choices", field=field, expected=" or ".join(map(repr, choices)), got=got, todo=todo
        )
    return ConfigurationError("not usable", field=field, expected=_expectation(config, field), got=got)


def _choices(config: type[BaseModel], field: str) -> list[str]:
    return list(config.model_json_schema()["properties"][field]["enum"])


def _expectation(config: type[BaseModel], field: str) -> str:
    schema = config.model_json_schema()["properties"][field]
    parts = [
        f"{word} {schema[key]:,}" if schema["type"] == "integer" else f"{word} {schema[key]:g}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    kind = {"integer": "a whole number", "number": "a number", "string": "a text"}[schema["type"]]
    return f"{kind} {' and '.join(parts)}".strip()
