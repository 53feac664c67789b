"""The models that come with the package, one directory each."""
