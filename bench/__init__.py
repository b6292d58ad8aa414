"""A comparison harness for continuous generative models: a baseline is a loss and a velocity field."""
