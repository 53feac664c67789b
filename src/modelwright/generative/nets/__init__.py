"""Networks that models are composed of; none knows what its output means."""
