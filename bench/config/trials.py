"""What a planned run comes with: a tuned one with its trials, and with the run at the suite's own settings."""

from collections.abc import Sequence

from bench.config.suite import Run
from bench.errors import UsageError


def with_trials(run: Run, reported: Sequence[int], where: str) -> list[Run]:
    """The run, after the trials that it needs, and before itself untuned, if its suite asks for that at its seed.

    `reported` are the seeds that the suite reports. UsageError for values that no run can have, for a tuning seed among
    the reported ones, and for an untuned one that is none of them.
    """
    tune = run.tune
    if not tune:
        return [run]
    if run.training.weights:
        raise UsageError(f"{where}: tune: with training.weights = {run.training.weights!r} nothing is trained")
    for seed in tune.seeds:
        if seed in (*reported, run.seed):
            raise UsageError(f"{where}: tune.seeds = {seed}: a reported seed; name one that is not")
    for seed in tune.untuned:
        if seed not in reported:
            known = ", ".join(map(str, reported))
            raise UsageError(f"{where}: tune.untuned = {seed}: expected reported seeds ({known})")
    untuned = [run.model_copy(update={"tune": None})] if run.seed in tune.untuned else []
    return [*run.trials.values(), run, *untuned]
