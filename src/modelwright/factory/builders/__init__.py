"""A builder for each family: a literal table of its models."""
