"""Autoregressive models on which the laws run."""

INSTANCES: dict = {}
