"""The networks, each a function from a sample shape to a module that speaks `net(t, x)`."""
