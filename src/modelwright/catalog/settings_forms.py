"""How long and how carefully to train, as forms: one for samplers, one for the trainer of generative models."""

from modelwright.catalog.metadata import TrainingDefaults
from modelwright.catalog.parameters import InferenceParameter
from modelwright.core.seeds import LARGEST_SEED


def nuts_settings_form(training: TrainingDefaults) -> tuple[InferenceParameter, ...]:
    """Draws, tune, chains, target_accept, max_tree_depth and seed, with a model's defaults."""
    return (
        InferenceParameter(
            name="draws",
            type="integer",
            label="Draws per chain",
            default=training.default_iterations,
            min_value=1,
            max_value=10_000_000,
            help_text="Posterior draws kept per chain",
        ),
        InferenceParameter(
            name="tune",
            type="integer",
            label="Warm-up per chain",
            default=training.warmup,
            min_value=1,
            max_value=10_000_000,
            help_text="Steps per chain that tune the sampler and are not kept",
        ),
        InferenceParameter(
            name="chains",
            type="integer",
            default=training.chains,
            min_value=1,
            max_value=1024,
            help_text="Independent chains; comparing them is how trouble shows",
        ),
        InferenceParameter(
            name="target_accept",
            type="float",
            label="Target acceptance",
            default=training.target_accept,
            min_value=0.1,
            max_value=0.999,
            help_text="Closer to 1 takes smaller, safer and slower steps",
        ),
        InferenceParameter(
            name="max_tree_depth",
            type="integer",
            label="Largest tree depth",
            default=10,
            min_value=1,
            max_value=20,
            help_text="A trajectory has at most 2 to this power steps; each one more may double the time",
        ),
        _seed("draws"),
    )


def generative_settings_form() -> tuple[InferenceParameter, ...]:
    """The settings of every generative model as a form."""
    return (
        InferenceParameter(
            name="steps", type="integer", min_value=1, max_value=1_000_000_000, help_text="Steps in all"
        ),
        InferenceParameter(
            name="epochs", type="float", min_value=0.001, max_value=1e6, help_text="Epochs, in place of steps"
        ),
        InferenceParameter(
            name="batch_size", type="integer", min_value=1, max_value=10_000_000, help_text="Examples of one update"
        ),
        InferenceParameter(
            name="learning_rate", type="float", min_value=1e-9, max_value=100.0, help_text="Of Adam, at its highest"
        ),
        _seed("model"),
    )


def _seed(what: str) -> InferenceParameter:
    return InferenceParameter(
        name="seed",
        type="integer",
        default=42,
        min_value=0,
        max_value=LARGEST_SEED,
        help_text=f"The same seed, data and versions give the same {what}",
    )
