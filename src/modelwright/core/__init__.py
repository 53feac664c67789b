"""Floor 0: errors, names, registries, seeds, progress, verdicts, outcomes and safe files.

Knows no model and no framework: the standard library, numpy, pydantic and YAML only.
"""
