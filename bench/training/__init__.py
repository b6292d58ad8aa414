"""The one training loop, and all that makes it the same on any device, number of ranks and after any kill."""
