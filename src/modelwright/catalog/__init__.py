"""Floor 4: the catalog, models a person can train, found by scanning model directories."""
