"""Bijections in double precision against automatic differentiation and closed forms, at random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from modelwright.core.errors import ConfigurationError
from modelwright.generative.flow.act_norm import ActNorm
from modelwright.generative.flow.autoregressive import MaskedAutoregressive
from modelwright.generative.flow.chain import Chain, Inverted, Repeated
from modelwright.generative.flow.coupling import Coupling
from modelwright.generative.flow.images import MultiScale, spread, squeezed
from modelwright.generative.flow.invertible_linear import InvertibleLinear
from modelwright.generative.flow.orders import Permutation, Reverse
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.flow.spline import RationalQuadraticSpline
from modelwright.generative.nets.dense import DenseNet
from modelwright.generative.nets.masked import MaskedNet
from modelwright.generative.nets.pixelwise import PixelNet

N = 4
SPLINE = RationalQuadraticSpline(5, 2.0)


def autoregressive(n, scalar, order):
    net = MaskedNet(n, (6,), scalar.n_parameters, order=order, context=2, activation="tanh", rngs=nnx.Rngs(0))
    return MaskedAutoregressive(net, scalar, order)


def coupling(n, scalar):
    net = DenseNet(n // 2 + 2, (6,), (n - n // 2) * scalar.n_parameters, activation="tanh", rngs=nnx.Rngs(0))
    return Coupling(net, scalar, n // 2)


def two_scales():
    def step(channels):
        net = PixelNet(channels // 2 + 2, (4,), channels, activation="tanh", rngs=nnx.Rngs(1))
        return Chain([ActNorm(channels), Coupling(net, Affine(), channels // 2)])

    return MultiScale((4, 4, 1), [step(4), step(8)], [step(4)])


BIJECTIONS = {
    "affine coupling": (lambda: coupling(3, Affine()), (3,)),
    "spline coupling": (lambda: coupling(3, SPLINE), (3,)),
    "affine, autoregressive, in order": (lambda: autoregressive(4, Affine(), (0, 1, 2, 3)), (4,)),
    "affine, autoregressive, backwards": (lambda: autoregressive(4, Affine(), (3, 2, 1, 0)), (4,)),
    "affine, autoregressive, shuffled": (lambda: autoregressive(4, Affine(), (2, 0, 3, 1)), (4,)),
    "spline, autoregressive, backwards": (lambda: autoregressive(4, SPLINE, (3, 2, 1, 0)), (4,)),
    "autoregressive turned round": (lambda: Inverted(autoregressive(3, Affine(), (0, 1, 2))), (3,)),
    "a stack with every other order reversed": (
        lambda: Repeated(lambda: Chain([autoregressive(4, Affine(), (0, 1, 2, 3)), Reverse()]), 3),
        (4,),
    ),
    "a chain of both orders": (
        lambda: Chain([autoregressive(4, Affine(), (0, 1, 2, 3)), autoregressive(4, Affine(), (3, 2, 1, 0))]),
        (4,),
    ),
    "normalisation": (lambda: ActNorm(3), (3,)),
    "normalisation of an image": (lambda: ActNorm(3), (2, 2, 3)),
    "linear map": (lambda: InvertibleLinear(4, rngs=nnx.Rngs(3)), (4,)),
    "linear map of an image": (lambda: InvertibleLinear(3, rngs=nnx.Rngs(3)), (2, 2, 3)),
    "random order": (lambda: Permutation(5, rngs=nnx.Rngs(0)), (5,)),
    "reversed order": (Reverse, (5,)),
    "two scales": (two_scales, (4, 4, 1)),
}


def moved(bijection, key=1):
    """The same bijection in double precision with weights that are nothing special."""
    graph, params, rest = nnx.split(bijection, nnx.Param, ...)
    generator = np.random.default_rng(key)
    new = jax.tree.map(lambda leaf: jnp.asarray(leaf + 0.4 * generator.standard_normal(leaf.shape), float), params)
    return graph, nnx.merge_state(new, rest)


@pytest.mark.parametrize(("make", "shape"), BIJECTIONS.values(), ids=BIJECTIONS)
def test_jacobian_and_round_trips(make, shape):
    with jax.enable_x64(True):
        graph, state = moved(make())
        x = 1.5 * jax.random.normal(jax.random.key(5), (N, *shape), float)
        cond = jax.random.normal(jax.random.key(6), (N, 2), float)

        @jax.jit
        def walk(state, x, cond):
            one = nnx.merge(graph, state)
            y, log_det = one.forward(x, cond)
            back, log_back = one.inverse(y, cond)
            again = one.forward(one.inverse(y + 0.1, cond)[0], cond)[0]
            jacobian = jax.vmap(jax.jacrev(lambda a, c: one.forward(a[None], c[None])[0][0]))(x, cond)
            return y, log_det, back, log_back, again, jacobian

        y, log_det, back, log_back, again, jacobian = walk(state, x, cond)
        assert log_det.shape == (N,)
        assert y.dtype == log_det.dtype == np.float64
        size = x[0].size
        np.testing.assert_allclose(log_det, np.linalg.slogdet(np.reshape(jacobian, (N, size, size)))[1], atol=1e-6)
        # the same formulas solved the other way: double precision, and slopes of up to some hundreds
        np.testing.assert_allclose(back, x, atol=1e-9)
        np.testing.assert_allclose(again, y + 0.1, atol=1e-9)
        np.testing.assert_allclose(log_back, -log_det, atol=1e-9)


@jax.jit
def spline_at(x, parameters):
    return SPLINE.forward(x, jnp.broadcast_to(parameters, (*x.shape, SPLINE.n_parameters)))


def test_spline_slope_is_the_derivative_by_x():
    with jax.enable_x64(True):
        parameters = jax.random.normal(jax.random.key(0), (SPLINE.n_parameters,), float)
        x = jnp.linspace(-2.5, 2.5, 101)
        _, log_slope = spline_at(x, parameters)
        wanted = jax.vmap(jax.grad(lambda x: spline_at(x[None], parameters)[0][0]))(x)
        np.testing.assert_allclose(jnp.exp(log_slope), wanted, rtol=1e-10)
        assert np.ptp(np.asarray(log_slope)) > 1.0  # bins of different widths, slopes far from 1


def test_spline_meets_its_tails_with_slope_one():
    with jax.enable_x64(True):
        parameters = 2.0 * jax.random.normal(jax.random.key(1), (SPLINE.n_parameters,), float)
        ends = jnp.asarray([-2.0 + 1e-9, 2.0 - 1e-9])
        y, log_slope = spline_at(ends, parameters)
        np.testing.assert_allclose(y, ends, atol=1e-8)
        np.testing.assert_allclose(log_slope, 0.0, atol=1e-5)  # 1e-9 inside, where the slope has begun to change


def test_spline_is_the_identity_for_zero_parameters():
    x = jnp.linspace(-3.0, 3.0, 31)
    y, log_slope = spline_at(x, jnp.zeros(SPLINE.n_parameters))
    np.testing.assert_allclose(y, x, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-6)


def test_spline_knots_are_hit():
    with jax.enable_x64(True):
        parameters = jax.random.normal(jax.random.key(2), (SPLINE.n_parameters,), float)
        xs, ys, slopes = SPLINE.knots(parameters)
        y, log_slope = spline_at(xs[1:-1], parameters)
        np.testing.assert_allclose(y, ys[1:-1], atol=1e-12)
        np.testing.assert_allclose(jnp.exp(log_slope), slopes[1:-1], rtol=1e-10)


@pytest.mark.parametrize("x", [-1e30, -2.0, 2.0, 1e30], ids=str)
def test_spline_gradients_are_finite_at_and_beyond_the_ends(x):
    def value(x, parameters):
        y, log_slope = SPLINE.forward(x, parameters)
        back, log_back = SPLINE.inverse(x, parameters)
        return y + log_slope + back + log_back

    of_x, of_parameters = jax.jit(jax.grad(value, (0, 1)))(jnp.asarray(x), jnp.ones(SPLINE.n_parameters))
    assert np.isfinite(of_x)
    assert np.isfinite(of_parameters).all()


def test_normalisation_begins_with_mean_zero_and_deviation_one():
    x = jax.random.normal(jax.random.key(0), (64, 2, 2, 3)) * jnp.asarray([1.0, 50.0, 0.0]) + 7.0
    norm = ActNorm(3)
    norm.begin(x)
    y, log_det = norm.forward(x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), [1.0, 1.0, 0.0], atol=1e-5)
    deviations = x.std((0, 1, 2))
    # four pixels; the constant channel keeps its scale
    np.testing.assert_allclose(log_det, -4.0 * np.log(deviations[0] * deviations[1]), rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 7.3, 101.3, 12345.678, -3e6])
def test_a_constant_is_not_standardised_by_its_rounding(constant):
    norm = ActNorm(2)
    norm.begin(jnp.stack([jnp.full(512, constant), 1e-7 * jax.random.normal(jax.random.key(0), (512,))], -1))
    assert norm.log_scale[0] == 0.0
    assert norm.shift[0] == np.float32(constant)
    assert abs(norm.log_scale[1] - np.log(1e-7)) < 0.1  # small numbers are no constants: three standard errors


@pytest.mark.parametrize("scale", [1.0, 5.0, 10.0])
def test_steep_splines_are_inverted_in_single_precision(scale):
    spline, generator = RationalQuadraticSpline(8, 3.0), np.random.default_rng(0)
    parameters = jnp.asarray(scale * generator.standard_normal((20_000, spline.n_parameters)), jnp.float32)
    y = jnp.asarray(generator.uniform(-3.0, 3.0, 20_000), jnp.float32)
    x, _ = spline.inverse(y, parameters)
    # rounding of x, up to 3, times slopes of up to some thousands; where halves of a difference cancelled, it was 6
    np.testing.assert_allclose(spline.forward(x, parameters)[0], y, atol=2e-3)


def test_repeated_normalisations_begin_one_after_the_other():
    x = jax.random.normal(jax.random.key(0), (64, 3)) * 9.0 + 7.0
    stack = Repeated(lambda: Chain([ActNorm(3), coupling(3, Affine())]), 3)
    cond = jnp.ones((64, 2))
    stack.begin(x, cond)
    shifts = np.asarray(stack.stacked.parts[0].shift[...])
    assert abs(shifts[0] - 7.0).max() < 4.0
    assert abs(shifts[1]).max() < 3.0  # what the first one has centred
    graph, states = nnx.split(stack.stacked)
    for k in range(3):
        one = nnx.merge(graph, jax.tree.map(lambda leaf, k=k: leaf[k], states))
        seen = one.parts[0].forward(x)[0]
        np.testing.assert_allclose(seen.std(0), 1.0, atol=1e-4)
        x = one.forward(x, cond)[0]


@pytest.mark.parametrize("layers", [1, 3])
def test_what_is_turned_round_begins_with_the_data_that_come_to_it(layers):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal([3.0, -1.0], [0.5, 20.0], (200, 2)))
        norms = Repeated(lambda: Chain([coupling(2, Affine()), ActNorm(2)]), layers)
        graph, state = moved(norms)
        turned, cond = Inverted(nnx.merge(graph, state)), jnp.ones((200, 2))
        turned.begin(x, cond)
        # the coupling comes last, and its kept number is what the last normalisation put out
        z = turned.forward(x, cond)[0]
        np.testing.assert_allclose([z[:, 0].mean(), z[:, 0].std()], [0.0, 1.0], atol=1e-10)
        # turned round twice is as it stands: the normalisation is nearest to the base
        Inverted(turned).begin(x, cond)
        z = turned.inner.forward(x, cond)[0]
        np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-10)
        np.testing.assert_allclose(z.std(0), 1.0, atol=1e-10)


def test_what_cannot_begin_from_its_other_end_is_refused():
    turned = Inverted(two_scales())
    with pytest.raises(
        ConfigurationError, match=r"MultiScale begins with data, and not .*; leave it outside of Inverted"
    ):
        turned.begin(jnp.zeros((2, 16)))


def test_linear_map_begins_as_a_rotation():
    linear = InvertibleLinear(4, rngs=nnx.Rngs(3))
    matrix, log_det = linear.forward(jnp.eye(4))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(log_det, 0.0, atol=1e-5)


def test_squeezing_keeps_the_pixels_of_a_block_together():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(squeezed(x)[0, 0, 0], [0, 1, 4, 5])
    np.testing.assert_array_equal(squeezed(x)[0, 1, 0], [8, 9, 12, 13])
    np.testing.assert_array_equal(spread(squeezed(x)), x)
