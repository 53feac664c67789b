"""The generative workshop: models in Flax NNX, one trainer for all of them, and the laws they obey."""
