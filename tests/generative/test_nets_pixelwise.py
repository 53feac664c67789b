"""Convolutions as products of patches are convolutions."""

import jax
import numpy as np
from flax import nnx

from modelwright.generative.nets.pixelwise import PixelNet


def test_a_single_layer_is_a_convolution_of_three_by_three():
    net = PixelNet(2, (), 3, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 2))
    kernel = net.layers[0].kernel[...].reshape(3, 3, 2, 3)
    wanted = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(net(x), wanted, atol=1e-5)
