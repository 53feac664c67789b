"""The zoo: configurations that reach a stated figure.

from modelwright.zoo import zoo
model = zoo.create_model("vae_digits", rngs=0, hidden_dims=[512, 256])
"""

from modelwright.zoo.entry import Expected, ZooEntry
from modelwright.zoo.zoo import Zoo, zoo

__all__ = ["Expected", "Zoo", "ZooEntry", "zoo"]
