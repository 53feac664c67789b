"""Models by configuration: what the factory makes, refuses, explains, and takes from third parties."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from made_models import VAE, Constant, small

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import CapabilityError, ConfigurationError
from modelwright.factory import ModelBuilder, ModelFactory, ModelTypeRegistry, create_model, model_types
from modelwright.factory.explanation import explain
from modelwright.factory.reference import with_reference
from modelwright.factory.stored_models import load_model, save_model
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, count_parameters
from modelwright.generative.training.defaults import TRAINING_DEFAULTS
from modelwright.generative.vae.vae import VAE as VAEClass


def test_the_example_of_a_vae_is_made_as_it_is_written():
    config = ModelConfiguration(
        name="my_vae",
        model_class="modelwright.generative.vae.VAE",
        input_dim=(28, 28, 1),
        hidden_dims=[512, 256],
        output_dim=64,
        activation="relu",
        parameters={"encoder_type": "mlp", "decoder_type": "mlp", "beta": 1.0, "kl_weight": 1.0},
        metadata={"experiment_id": "exp_001"},
    )
    model = create_model(config, rngs=nnx.Rngs(42))
    assert model.latent_dim == 64
    assert model.sample(2, key=jax.random.key(0)).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("rngs", [7, np.int64(7), jax.random.key(7), jax.random.PRNGKey(7), nnx.Rngs(7)], ids=str)
def test_seeds_keys_and_streams_are_taken(rngs):
    params = jax.tree.leaves(nnx.state(create_model(small(), rngs=rngs), nnx.Param))
    same = jax.tree.leaves(nnx.state(create_model(small(), rngs=7), nnx.Param))
    assert all((a == b).all() for a, b in zip(params, same, strict=True))


@pytest.mark.parametrize("rngs", [None, -1, "7", 1.5, True])
def test_anything_else_is_no_source_of_randomness(rngs):
    with pytest.raises(
        ConfigurationError, match=r"rngs: not a source of randomness; expected nnx.Rngs, a seed or a JAX"
    ):
        create_model(small(), rngs=rngs)


@pytest.mark.parametrize(
    ("rngs", "message"),
    [
        (lambda: nnx.Rngs(), "rngs: no stream for the parameters; expected a stream params or default, got 'none'"),
        (lambda: nnx.Rngs(dropout=1), "rngs: no stream for the parameters; .*, got 'dropout'"),
        (lambda: jax.random.split(jax.random.key(0)), r"rngs: several keys; expected one JAX key, got \(2,\)"),
    ],
)
def test_streams_and_keys_that_give_no_parameters_are_refused(rngs, message):
    with pytest.raises(ConfigurationError, match=message):
        create_model(small(), rngs=rngs())


def test_training_defaults_are_looked_at_when_a_model_is_made_and_not_when_a_stored_one_is(tmp_path):
    config = small(metadata={"training_defaults": {"lerning": 3}})
    for make in (lambda: create_model(config, rngs=0), lambda: explain(config)):
        with pytest.raises(ConfigurationError, match=r"metadata\.training_defaults\.lerning: no such training setting"):
            make()
    model = create_model(small(), rngs=0)
    model.recipe = model.recipe.replace(
        '"configuration": {', '"configuration": {"metadata": {"training_defaults": {"lerning": 3}},'
    )
    assert load_model(save_model(model, tmp_path)).latent_dim == 3


def test_a_raw_mapping_is_a_type_error():
    with pytest.raises(TypeError, match=r"config: expected a ModelConfiguration, got dict"):
        create_model({"model_class": VAE}, rngs=0)


def test_an_empty_class_is_refused():
    with pytest.raises(ValueError, match=r"^model_class must be specified in configuration$"):
        create_model(ModelConfiguration(name="x"), rngs=0)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        (
            "somewhere.Thing",
            r"model_class is 'somewhere.Thing', of which no part is a type or like the name of a model",
        ),
        (
            "somewhere.RealNPV",
            r"model_class is 'somewhere.RealNPV'; did you mean 'modelwright.generative.flow.RealNVP'\?",
        ),
        ("wavnet", r"model_class is 'wavnet'; did you mean 'modelwright.generative.autoregressive.WaveNet'\?"),
    ],
)
def test_an_unknown_type_lists_the_known_ones_and_the_nearest_name(name, guess):
    message = r"No builder registered for type 'unknown'\. Available types: autoregressive, flow, vae; "
    with pytest.raises(ValueError, match=f"^{message}{guess}$"):
        create_model(small(model_class=name), rngs=0)


def test_a_bad_modality_is_named():
    with pytest.raises(
        ValueError, match=r"^Failed to apply modality 'nonexistent': no modality is called 'nonexistent'"
    ):
        create_model(small(), rngs=0, modality="nonexistent")


def test_what_is_no_modality_is_shown():
    message = (
        r"^Failed to apply modality 3: modality: not a modality; expected a name, a mapping with a name and the "
        r"codec's options, or a codec, got 3; known: image, text"
    )
    with pytest.raises(ConfigurationError, match=message):
        create_model(small(), rngs=0, modality=3)


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("a.flow.Anything", "flow"),
        ("a.vae.RealNVP", "vae"),  # the module comes first
        ("a.models.RealNVP", "flow"),
        ("a.models.BetaVAE", "vae"),
        ("a.models.PixelCNN", "autoregressive"),
        ("a.models.MAF", "flow"),
        ("a.models.Thing", "unknown"),
    ],
)
def test_types_follow_from_names(name, model_type):
    assert model_types().type_of(name) == model_type


def test_names_are_looked_up_and_never_imported():
    with pytest.raises(ConfigurationError, match=r"never imported; got 'os.vae.VAE'; did you mean 'modelwright"):
        create_model(small(model_class="os.vae.VAE"), rngs=0)


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"parameters.bta: VAE has no such parameter; did you mean 'beta'\?"):
        create_model(small(parameters={"bta": 2.0}), rngs=0)


def test_a_field_that_nobody_reads_is_refused():
    flow = ModelConfiguration(name="x", model_class="modelwright.generative.flow.RealNVP", input_dim=2, output_dim=3)
    with pytest.raises(
        ConfigurationError, match=r"output_dim: RealNVP does not use this beside the other values given"
    ):
        create_model(flow, rngs=0)


def test_parameters_that_were_given_survive():
    resolved = {each.name: each for each in explain(small(parameters={"beta": 4, "importance_draws": 7})).resolved}
    assert (resolved["parameters.beta"].value, resolved["parameters.beta"].origin) == (4.0, "given")
    assert resolved["parameters.importance_draws"].value == 7
    assert resolved["parameters.kl_weight"].origin == "default of VAE"


@pytest.mark.parametrize(("given", "wanted"), [({}, "cnn"), ({"decoder_type": "mlp"}, "mlp")])
def test_what_a_model_finds_by_itself_is_explained(given, wanted):
    parameters = {"encoder_type": "cnn", **given}
    resolved = {each.name: each for each in explain(small(parameters=parameters)).resolved}
    assert resolved["parameters.decoder_type"].value == wanted
    assert resolved["parameters.decoder_type"].origin == ("given" if given else "default of VAE")


def test_a_condition_is_offered_where_there_is_one():
    assert "condition" not in explain(small()).offers
    assert "condition" in explain(small(parameters={"n_classes": 3})).offers
    assert "condition" not in create_model(small(), rngs=0).offers
    assert "condition" in VAEClass.offers  # of the class, which can be conditioned


@pytest.mark.parametrize("name", ["seed", "backbone", "parameters"])
def test_an_argument_that_no_builder_takes_is_named(name):
    with pytest.raises(
        ConfigurationError, match=f"^{name}: VAE takes no such argument from Python; expected rngs and modality; "
    ):
        create_model(small(), rngs=0, **{name: 1})


def test_an_argument_goes_to_the_builder_that_takes_it():
    class Choosy:
        def build(self, config, *, rngs, backbone):
            return Constant(backbone)

    registry = ModelTypeRegistry()
    registry.register("choosy", Choosy())
    config = ModelConfiguration(name="x", model_class="a.choosy.Thing")
    assert ModelFactory(registry).create_model(config, rngs=0, backbone=(2,)).example_shape == (2,)
    with pytest.raises(ConfigurationError, match=r"bone: Choosy takes .*; expected rngs, modality and backbone;"):
        ModelFactory(registry).create_model(config, rngs=0, bone=(2,))


def test_an_explanation_counts_what_is_built():
    config = small()
    assert explain(config).n_parameters == count_parameters(create_model(config, rngs=0))


def test_an_explanation_says_how_it_would_be_trained():
    config = small(metadata={"training_defaults": {"batch_size": 32, "epochs": 2}})
    found = explain(config, modality={"name": "image", "levels": 17})
    training = {each.name: (each.value, each.origin) for each in found.training}
    assert set(training) == set(TRAINING_DEFAULTS)
    assert training["batch_size"] == (32, "training_defaults")
    assert training["epochs"] == (2.0, "training_defaults")
    assert training["learning_rate"] == (1e-3, "default of the trainer")
    rows = {row[0]: row[1] for table in found.tables() for row in table.rows}
    assert rows["modality"] == "image (levels 17)"
    assert rows["clip"] == "none"


def test_an_explanation_is_of_a_configuration():
    with pytest.raises(TypeError, match="config: expected a ModelConfiguration, got dict; make one with"):
        explain({"model_class": VAE})


def test_a_moving_average_takes_the_memory_of_one_more_set_of_parameters():
    found = explain(small(metadata={"training_defaults": {"ema": 0.99}}))
    assert found.training_bytes == 20 * found.n_parameters


def test_an_explanation_allocates_nothing():
    # 200 billion numbers: no machine that runs this test could make them
    huge = explain(small(input_dim=(1000, 1000, 1), hidden_dims=[100_000], parameters={}))
    assert huge.n_parameters > 10**11
    assert huge.training_bytes == 16 * huge.n_parameters


@pytest.mark.parametrize(
    ("modality", "message"),
    [
        ({"name": "imgae"}, "Failed to apply modality 'imgae'"),
        ({"name": "image", "levels": 17}, "images and model differ in how many values"),
        ("text", "Failed to apply modality 'text'|the modality text goes with|takes no sequences"),
    ],
)
def test_a_modality_that_does_not_go_with_a_model_is_refused_by_explain_too(modality, message):
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.autoregressive.MADE",
        input_dim=(2, 2, 1),
        hidden_dims=[4],
        parameters={"levels": 5},
    )
    with pytest.raises(ConfigurationError, match=message):
        explain(config, modality=modality)
    assert explain(config, modality={"name": "image", "levels": 5}).n_parameters > 0


def test_a_flow_of_rotations_is_explained():
    glow = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.flow.Glow",
        input_dim=(4, 4, 1),
        hidden_dims=[4],
        parameters={"n_levels": 1, "n_steps": 2},
    )
    assert explain(glow).n_parameters == count_parameters(create_model(glow, rngs=0))


class ConstantBuilder:
    def build(self, config, *, rngs, **kwargs):
        return Constant(config.input_dim)


def test_a_third_party_adds_a_family():
    registry = ModelTypeRegistry()
    registry.register("constant", ConstantBuilder(), patterns=["Constant"])
    config = ModelConfiguration(name="x", model_class="their_package.Constant", input_dim=2)
    model = ModelFactory(registry).create_model(config, rngs=0)
    assert isinstance(model, Constant)
    with pytest.raises(
        CapabilityError, match=r"Constant has no sample; it offers log_prob; choose a model that offers"
    ):
        model.sample(1, key=jax.random.key(0))


class Shapeless(AbstractGenerativeModel):
    family = "shapeless"


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (
            None,
            r"model_class: the builder .*\.Careless built no generative model; expected .*AbstractGenerativeModel, got",
        ),
        (
            {"a": 1},
            r"the builder .*\.Careless built no generative model; .* got {'a': 1}; let its build return the model",
        ),
        (
            Shapeless(),
            r"example_shape: the builder .*\.Careless built a Shapeless that does not say what an example is",
        ),
    ],
    ids=str,
)
def test_a_builder_that_builds_no_model_is_named(built, message):
    class Careless:
        def build(self, config, *, rngs, **kwargs):
            return built

    registry = ModelTypeRegistry()
    registry.register("careless", Careless())
    with pytest.raises(ConfigurationError, match=message):
        ModelFactory(registry).create_model(ModelConfiguration(name="x", model_class="a.careless.Thing"), rngs=0)


def test_registering_refuses_what_cannot_build():
    registry = ModelTypeRegistry()
    with pytest.raises(ConfigurationError, match=r"constant: not a builder; expected an object with build"):
        registry.register("constant", object())
    with pytest.raises(ConfigurationError, match=r"constant: not a builder"):
        registry.register("constant", ConstantBuilder)
    with pytest.raises(ConfigurationError, match=r"model_type: not a type; expected a word in lower case"):
        registry.register("My Type", ConstantBuilder())
    registry.register("constant", ConstantBuilder())
    with pytest.raises(ConfigurationError, match=r"constant: a builder is registered for this type already"):
        registry.register("constant", ConstantBuilder())
    assert isinstance(registry.builders["constant"], ModelBuilder)


def test_log_probabilities_of_two_kinds_do_not_compare():
    exact, unnormalized = LogProb(jnp.zeros(2), "exact"), LogProb(jnp.zeros(2), "unnormalized")
    assert (exact.minus(exact) == 0.0).all()
    with pytest.raises(ConfigurationError, match=r"kind: a value known up to a constant compares with nothing"):
        exact.minus(unnormalized, although_unlike=True)


def test_a_batch_without_conditions_has_none():
    assert Batch(jnp.zeros(1)).cond is None


def test_the_reference_page_is_that_of_the_models():
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == with_reference(page), "run python -m modelwright.factory.reference docs/configuration.md"
