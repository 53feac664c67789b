"""Normalising flows: bijections with their Jacobians, and models composed of them."""
