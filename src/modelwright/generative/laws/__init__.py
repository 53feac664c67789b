"""What a model must obey whatever its weights are: one check per law, each with its figure and tolerance."""
