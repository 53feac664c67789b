"""Examples for generative models: images, points, texts; built in, or from a file."""

from modelwright.data.examples.named import EXAMPLE_SETS, load_examples, load_whole
from modelwright.data.examples.split import Examples, Split

__all__ = ["EXAMPLE_SETS", "Examples", "Split", "load_examples", "load_whole"]
