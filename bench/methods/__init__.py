"""The mathematics: the contract of a method, probability paths, the ODE and its density, max-likelihood flows."""
