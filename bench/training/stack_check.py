"""Whether runs may be trained together: what must hold, and one step of each run alone against that of the stack.

A loss of whose rows one hangs on another, as one of minibatch couplings or of an adaptive solver does, has other
gradients in a stack. They are compared in double precision, where only what is the same is as near as ACCURACY, at the
beginning of the budget and, if the loss may go by it, close to its end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.datasets.source import Draws
from bench.errors import Unstackable, one_line
from bench.methods.baseline import Baseline, is_plain
from bench.training.ahead import Piece, Ready
from bench.training.modules import copied
from bench.training.rehearsal import LATE
from bench.training.sparing import streams_kept
from bench.training.stack import Member, Stack
from bench.training.stacked_module import stacked
from bench.training.trainer import Trainer

ACCURACY = 1e-9  # of the largest gradient
# Parameters times batch up to which a step is dominated by the number of its operators, so that a stack pays.
MOST = {"cpu": 1e7, "cuda": 1e9}


class _Doubled(Trainer):
    """In double precision."""

    def ready(self, piece: Piece, rng: Draws) -> Ready:
        with default_type(torch.float32):
            ready = super().ready(piece, rng)
        batch = ready.batch
        given = None if batch.given is None else batch.given.double()
        return ready._replace(batch=replace(batch, x=batch.x.double(), given=given))


class _DoubledStack(_Doubled, Stack):
    """The same of a stack."""


def suits(baseline: Baseline, module: nn.Module, dataset: Dataset, settings: Training, device: str) -> None:
    """Unstackable if a run of this module is never trained with others."""
    kind = torch.device(device).type
    size = sum(p.numel() for p in module.parameters()) * settings.batch
    for holds, why in (
        (baseline.rowwise, f"the loss of {baseline.name} is not one of each sample by itself"),
        (not baseline.looks_ahead, f"{baseline.name} finds something of each batch ahead"),
        (size <= MOST.get(kind, 0), f"{size:.1g} parameters times samples a step are enough for the {kind} alone"),
        (settings.pieces == 1, "its batch comes in pieces"),
        (not settings.compile, "its network is compiled"),
        (settings.precision == "fp32", f"its precision is {settings.precision}"),
        (not settings.seconds, "its budget is one of seconds"),
        (not settings.weights, "nothing is trained"),
        (not dataset.by_run, "each seed has data of its own"),
    ):
        if not holds:
            raise Unstackable(why)
    stacked([module])


def check(trainers: Sequence[Trainer]) -> None:
    """Unstackable, with the reason, unless a stack trains these runs as each alone, and sooner."""
    if len(trainers) < 2:
        raise Unstackable("no other seed is to be trained")
    first = trainers[0]
    suits(first.baseline, first.module, first.dataset, first.settings, first.device)
    places = [(t.settings, t.baseline, t.step, t.rows, t.validated, t.recent_steps) for t in trainers]
    if any(place != places[0] for place in places):
        raise Unstackable("the runs are not at the same step")
    try:
        with streams_kept(first.device), default_type(torch.float64):
            _compare(trainers)
    except Unstackable:
        raise
    except Exception as error:
        raise Unstackable(f"a step of them together fails: {one_line(error)}") from error


def _compare(trainers: Sequence[Trainer]) -> None:
    doubles = []
    for trainer in trainers:
        settings, module = trainer.settings, copied(trainer.module).double()
        doubles.append(_Doubled(trainer.identity, settings, trainer.baseline, module, trainer.dataset, trainer.seed))
    stack = _DoubledStack([Member(double, Path(), lambda module: [], lambda text: None) for double in doubles])
    for number, phase in enumerate(stack.baseline.phases):
        for share in (0.0,) if is_plain(stack.baseline, phase) else (0.0, LATE):
            for run in (stack, *doubles):
                run.step = int(share * (run.settings.steps or 0))
                run.rows = int(share * (run.settings.evaluations or 0))
            found = _step(stack, number)
            for s, double in enumerate(doubles):
                for alone, together in zip(_step(double, number), found, strict=True):
                    if not _same(alone, together[s]):
                        raise Unstackable(
                            "the loss of a sample hangs on others of its batch, or on other random numbers"
                        )


def _step(run: Trainer, number: int) -> tuple[Tensor, ...]:
    """The loss of a phase and its gradients, zeros where there are none; of a stack with an axis for runs in front."""
    loss = run._gradient(update := run.updates[number])
    return loss, *(torch.zeros_like(p) if p.grad is None else p.grad for p in update.parameters)


def _same(alone: Tensor, together: Tensor) -> bool:
    return bool((alone - together).abs().max() <= ACCURACY * alone.abs().max())


@contextmanager
def default_type(kind: torch.dtype) -> Iterator[None]:
    """Numbers are of this type within unless something says theirs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
