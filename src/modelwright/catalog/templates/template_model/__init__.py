"""The model that a new one starts from."""
