"""Autoregressive models: each symbol given those before it."""
