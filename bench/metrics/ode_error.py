"""The error that a solver leaves in the solution of the ODE, which bench/evaluation/solver_error.py measures."""

from bench.metrics.metric import Facts, declare

ERROR = (
    "Mean squared difference per dimension between a solver's samples and the solution of the same ODE from the same "
    "noise by 1,000 midpoint evaluations: how well the ODE is solved, not how good the model is."
)

declare("ode_error", in_sweep=True, ode_error=Facts("ODE error", "", "lower", "geometry", ERROR, place=43))
