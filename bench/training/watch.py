"""Looking on while a run trains: what is told of it beside its log."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.training.state import TrainingState


class Watch:
    """Is called on the main rank, between steps and while the clock of training stands still; this one does nothing."""

    def told(self, run: "TrainingState") -> None:
        """At each line of the log."""

    def validated(self, run: "TrainingState") -> None:
        """At the start, and at each point of the curve, which is in `run.curve` then."""


NOBODY = Watch()
