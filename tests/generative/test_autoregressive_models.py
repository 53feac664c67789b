"""PixelCNN, WaveNet and MADE: receptive fields, alphabets, orders; and what a configuration of each class builds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instances import configuration
from sequential_instances import INSTANCES

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.generative.autoregressive.alphabet import Levels, MuLaw
from modelwright.generative.autoregressive.model import compiled_logits
from modelwright.generative.autoregressive.wavenet import WaveNet
from modelwright.generative.laws.autoregressive import seen, sees_no_more
from modelwright.generative.laws.law import Subject
from modelwright.generative.nets.causal_convolution import CausalStack
from modelwright.generative.protocol import Batch


def build(name, input_dim, hidden_dims=(4,), **parameters):
    return create_model(
        configuration(f"autoregressive.{name}", input_dim, hidden_dims=list(hidden_dims), parameters=parameters), rngs=0
    )


@pytest.mark.parametrize("name", ["Transformer", "PixelCNN", "WaveNet", "MADE"])
def test_a_class_builds_itself(name):
    shape = (4, 4, 1) if name == "PixelCNN" else (4,)
    layers = {} if name == "MADE" else {"n_layers": 1}
    found = build(name, shape, **layers)
    assert type(found).__name__ == name
    assert found.family == "autoregressive"


@pytest.mark.parametrize(
    ("name", "input_dim", "wrong", "message"),
    [
        ("Transformer", (4,), {"n_layers": 0}, "parameters.n_layers: .*expected a whole number from 1 to 256, got 0"),
        ("PixelCNN", (4, 4, 1), {"n_layers": 0}, "parameters.n_layers: .*expected a whole number from 1 to 256"),
        ("WaveNet", (4,), {"n_layers": 0}, "parameters.n_layers: .*expected a whole number from 1 to 24"),
        ("PixelCNN", (4, 4, 1), {"kernel_size": 4}, "parameters.kernel_size: a kernel without a middle"),
        ("PixelCNN", (4, 4), {}, "input_dim: not an image; expected height, width and channels"),
        ("Transformer", (4, 4), {}, "input_dim: not a sequence; expected one number, its length"),
        ("Transformer", (4,), {"n_heads": 3}, "hidden_dims: heads of unequal size; expected a width .* multiple of 3"),
        (
            "Transformer",
            (4,),
            {"positions": "rotary"},
            "rotary positions turn pairs of numbers; .* multiple of 8, got 4",
        ),
        ("WaveNet", (4,), {"encoding": "mulaw"}, "parameters.encoding: .*did you mean 'mu_law'"),
        ("MADE", (4,), {"order_seed": 3}, "parameters.order_seed: MADE does not use this"),
    ],
    ids=str,
)
def test_refused_configurations(name, input_dim, wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        build(name, input_dim, **wrong)


def test_layers_of_several_widths_are_refused():
    with pytest.raises(ConfigurationError, match=r"hidden_dims: all layers are of one width; .* got \(4, 8\)"):
        build("WaveNet", (4,), (4, 8))


def test_examples_of_another_shape_are_refused():
    with pytest.raises(ConfigurationError, match=r"x: of another shape; expected \(n, 6\), got \(2, 5\)"):
        INSTANCES["MADE"].made()[0].log_prob(jnp.zeros((2, 5)), cond=jnp.zeros(2, int))


def test_no_blind_spot():
    # What plain masked convolutions miss lies above on the right: two layers of three-pixel kernels reach two columns.
    model = build("PixelCNN", (4, 5, 1), (4,), levels=3, n_layers=2, kernel_size=3)
    _, found = seen(model, Subject(model, Batch(jnp.zeros((1, 4, 5, 1)))))
    picture = found.reshape(4, 5, 4, 5)[3, 2].astype(int)
    assert picture.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_of_long_examples_some_places_are_tried(monkeypatch):
    model = build("WaveNet", (70,), levels=3, n_layers=3)
    subject = Subject(model, Batch(jnp.zeros((1, 70), int)))
    places, found = seen(model, subject)
    assert (len(places), places[0], places[-1], found.shape) == (32, 0, 69, (70, 32))
    measured = sees_no_more(subject)
    assert measured.holds
    assert measured.words == "symbols seen that must not be (32 of 70 places tried):"
    # the network sees what it must not where it says that it reaches less far
    monkeypatch.setattr(WaveNet, "dependence", lambda self: np.eye(70, k=-1, dtype=bool))
    assert not sees_no_more(subject).holds


def test_enough_layers_see_everything_before():
    model = build("PixelCNN", (3, 3, 2), (3,), levels=2, n_layers=2, kernel_size=3)
    assert (model.dependence() == np.tri(18, 18, -1, bool)).all()
    assert (build("WaveNet", (16,), n_layers=4).dependence() == np.tri(16, 16, -1, bool)).all()
    assert not (build("WaveNet", (17,), n_layers=3).dependence() == np.tri(17, 17, -1, bool)).all()


def test_channels_before_are_seen_in_full():
    # Strict masks in every layer would leave the third channel without the second.
    model = build("PixelCNN", (1, 1, 3), (4,), levels=2, n_layers=3, kernel_size=3)
    _, found = seen(model, Subject(model, Batch(jnp.zeros((1, 1, 1, 3)))))
    assert found.astype(int).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


def test_a_table_of_two_can_be_dependent():
    # Trap of strict masks in every layer: two numbers would be independent whatever is learned.
    model = build("MADE", (2,), (8, 8))
    logits = np.asarray(compiled_logits(model, jnp.array([[0, 0], [1, 0]])))
    assert (logits[0, 0] == logits[1, 0]).all()
    assert (logits[0, 1] != logits[1, 1]).all()


def test_orders_come_from_their_seed():
    places = [build("MADE", (9,), order="random", order_seed=seed).places for seed in (1, 1, 2)]
    assert places[0] == places[1] != places[2]
    assert build("MADE", (9,)).places == tuple(range(9))


@pytest.mark.parametrize("alphabet", [Levels(7), MuLaw(2), MuLaw(7), MuLaw(256)], ids=str)
def test_symbols_come_back_from_their_values(alphabet):
    symbols = jnp.arange(alphabet.levels)
    values = alphabet.values(symbols)
    assert (alphabet.symbols(values) == symbols).all()
    assert alphabet.known(values).all()
    assert (jnp.diff(values) > 0).all()


def test_amplitudes_fall_into_the_nearest_step():
    alphabet = MuLaw(256)
    x = np.linspace(-1.0, 1.0, 4001, dtype=np.float32)
    squeezed = np.sign(x) * np.log1p(255 * np.abs(x.astype(float))) / np.log(256.0)
    steps = 2.0 * np.arange(256) / 255.0 - 1.0
    nearest = np.abs(squeezed[:, None] - steps).argmin(1)
    assert (np.abs(np.asarray(alphabet.symbols(jnp.asarray(x))) - nearest) <= (x == 0)).all()  # 0 is between two
    assert alphabet.known(jnp.array([1.001, float("nan")])).tolist() == [False, False]


def test_loud_amplitudes_have_no_probability():
    model, batch = INSTANCES["WaveNet of amplitudes"].made()
    found = model.log_prob(batch.x.at[0, 1].set(1.5)).value
    assert np.isneginf(found[0])
    assert np.isfinite(found[1:]).all()


def test_greys_are_no_black_and_white():
    model, batch = INSTANCES["MADE"].made()
    found = model.log_prob(batch.x.at[0, 1].set(0.5), cond=batch.cond).value
    assert np.isneginf(found[0])


def test_conditions_matter():
    for name, instance in INSTANCES.items():
        model, batch = instance.made("perturbed")
        if batch.cond is None:
            continue
        x = jnp.broadcast_to(batch.x[:1], batch.x.shape)
        assert len(np.unique(np.round(model.log_prob(x, cond=batch.cond).value, 4))) > 1, name


def test_a_causal_layer_is_a_dilated_convolution():
    net = CausalStack(3, 2, kernel_size=3, dilations=(2,), rngs=nnx.Rngs(0))
    h = jax.random.normal(jax.random.key(0), (2, 9, 3))
    layer = jax.tree.map(lambda leaf: leaf[0], nnx.state(net.layers))
    kernel = layer["gates"]["kernel"][...].reshape(3, 3, 6)[::-1]  # taps go back in time, kernels forth
    gates = jax.lax.conv_general_dilated(
        h, kernel, (1,), [(4, 0)], rhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC")
    )
    a, b = jnp.split(gates + layer["gates"]["bias"][...], 2, axis=-1)
    wanted = (jnp.tanh(a) * jax.nn.sigmoid(b)) @ layer["skip"]["kernel"][...] + layer["skip"]["bias"][...]
    np.testing.assert_allclose(net(h), wanted, atol=1e-5)  # single precision


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("WaveNet of amplitudes", 3.0, "expected amplitudes from -1 to 1, got 3.0"),
        ("WaveNet of amplitudes", float("nan"), "expected amplitudes from -1 to 1, got nan"),
        ("MADE", 2.0, "expected whole numbers from 0 to 1, got 2.0"),
        ("PixelCNN of two channels", 2, "expected whole numbers from 0 to 1, got 2"),
        ("Transformer", -1, "expected whole numbers from 0 to 2, got -1"),
    ],
)
def test_training_refuses_data_outside_of_the_alphabet(name, wrong, message):
    model, batch = INSTANCES[name].made()
    x = batch.x.at[(1,) * batch.x.ndim].set(wrong)
    with pytest.raises(ConfigurationError, match=message):
        model.check(Batch(x, batch.cond))


@pytest.mark.parametrize("wrong", [2**32, -(2**32), 2**63 - 1])
def test_whole_numbers_of_64_bits_are_not_taken_for_their_last_32(wrong):
    with pytest.raises(ConfigurationError, match=f"expected whole numbers from 0 to 3, got {wrong}"):
        Levels(4).check(np.array([[1, wrong]]))
    with jax.enable_x64(True):
        assert Levels(4).known(jnp.array([1, wrong])).tolist() == [True, False]


@pytest.mark.parametrize("levels", [2, 256, 300])
def test_bytes_are_the_numbers_they_are(levels):
    x = np.array([[0, 1, 255]], np.uint8)
    for kind in (np.int32, np.float32):
        np.testing.assert_array_equal(Levels(levels).known(x), Levels(levels).known(jnp.asarray(x, kind)))
        np.testing.assert_array_equal(Levels(levels).symbols(x), Levels(levels).symbols(jnp.asarray(x, kind)))
    model = build("MADE", (3,), levels=levels)
    assert model.log_prob(jnp.asarray(x)).value == model.log_prob(jnp.asarray(x, jnp.int32)).value


@pytest.mark.parametrize("levels", [255, 256, 1000, 65_536])
def test_amplitudes_of_a_model_are_known_to_it(levels):
    alphabet = MuLaw(levels)
    values = alphabet.values(jnp.arange(levels))
    assert alphabet.known(values).all()
    assert (alphabet.symbols(values) == jnp.arange(levels)).all()
