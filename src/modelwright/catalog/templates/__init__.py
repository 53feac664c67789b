"""What `modelwright new model` writes: a working model and its training script, kept here as code that is tested."""
