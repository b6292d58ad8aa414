"""What a point of the validation curve is measured by, as an evaluation says."""

from bench.config.settings import Evaluation, Likelihood, Solve

FORMER = "dopri5"  # of every curve once, whatever the evaluation's solvers


def curve_likelihood(evaluation: Evaluation, n: int) -> Likelihood:
    """The NLL of the first n samples, by the adaptive method of the headline at the usual tolerances.

    It is the first one of the likelihood's solvers, else that of the samples, else the usual one.
    """
    likelihood, samples = evaluation.likelihood, evaluation.samples
    solves = [*(likelihood.solvers if likelihood else ()), *([samples.solver] if samples else ()), Solve()]
    solver, asked = Solve(method=next(s.method for s in solves if s.steps is None)), likelihood or Likelihood()
    return Likelihood(n=n, batch=min(n, asked.batch), divergence=asked.divergence, solvers=(solver,))
