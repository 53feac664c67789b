"""Sampling a posterior with any of three engines, and what follows from its draws."""
