"""Flows on which the laws run."""

INSTANCES: dict = {}
