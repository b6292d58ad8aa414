"""Whether a baseline, network or dataset keeps its contract: checks that train seconds.

Each has a name and a function, whose answer is a note and whose exception a complaint.
"""

import dataclasses
import inspect
import pickle
from collections.abc import Callable, Collection, Iterator
from functools import partial as bound
from typing import Any

import torch
from torch import Tensor

from bench.command.tiny import ENLARGED, IMAGES, NETWORKS, POINTS, Workshop, component
from bench.config import components
from bench.config.registry import baselines, datasets, networks
from bench.errors import NotApplicable, UsageError
from bench.methods.rules import require

KINDS: dict[str, dict[str, Any]] = {"points": POINTS, "images": IMAGES}
Check = tuple[str, Callable[[], str]]  # what is checked; a note, or an exception whose message is the complaint


def some_fit(what: str, refusals: Collection[str], tried: Collection[str]) -> Iterator[Check]:
    """A check that fails if all that was tried was refused."""

    def refuse() -> str:
        raise UsageError("; ".join(refusals))

    if len(refusals) == len(tried):
        yield what, refuse


def of_baseline(name: str, workshop: Workshop) -> Iterator[Check]:
    cls, refused = baselines[name], list[str]()
    yield "options", bound(_options, cls)
    kinds: dict[str, dict[str, Any]] = {"images": ENLARGED} if cls.needs_given else KINDS
    for kind, dataset in kinds.items():
        teacher = workshop.run("fm_ot", dataset)
        options = {**workshop.options.get(name, {})}
        if "teacher" in cls.__dataclass_fields__:
            options["teacher"] = teacher.run_id
            yield f"on {kind}, a teacher", bound(workshop.through_stages, teacher)
        run = workshop.run(name, dataset, options=options)
        if isinstance(refusal := workshop.refusal(run), NotApplicable):
            refused.append(f"not applicable: {refusal}")
            yield f"on {kind}", bound(str, refused[-1])
            continue
        if refusal:  # a U-Net makes images of images and times, and nothing else
            run = workshop.run(name, dataset, NETWORKS["points"], options)
        yield f"on {kind}, a restart", bound(workshop.repeats, run)
        yield f"on {kind}, stages", bound(workshop.through_stages, run)
    yield from some_fit("data", refused, kinds)


def _options(cls: type[Any]) -> str:
    """Fields of a frozen dataclass, each of a plain type and with a default."""
    fields = dataclasses.fields(cls)
    for option in fields:
        if option.name == "teacher":
            continue
        require(option.default is not dataclasses.MISSING, f"option {option.name} has no default")
        plain = isinstance(option.default, (bool, int, float, str))
        require(plain, f"option {option.name} = {option.default!r}: not a number, a text, or true or false")
    made = cls(**{option.name: "" for option in fields if option.name == "teacher"})
    require(pickle.loads(pickle.dumps(made)) == made, "two of the same options are not equal")
    return ", ".join(f"{option.name} = {option.default}" for option in fields) or "none"


def of_network(name: str, workshop: Workshop) -> Iterator[Check]:
    refused = []
    for kind, dataset in KINDS.items():
        data = workshop.data(dataset)
        try:
            components.build_network(component(workshop.component(name)), data)
        except UsageError as refusal:
            refused.append(f"{kind}: {refusal}")
            continue
        run = workshop.run("fm_ot", dataset, workshop.component(name))
        yield f"on {kind}, its answer", bound(_answer, name, data.shape, workshop.options.get(name, {}))
        yield f"on {kind}, stages", bound(workshop.through_stages, run)
    yield from some_fit("data", refused, KINDS)


# What a builder takes for a further input, and what a call of the network then names; OTHER change what is called.
FURTHER: dict[str, tuple[Any, dict[str, Tensor]]] = {
    "classes": (2, {"labels": torch.tensor([0, 1, -1])}),
    "second_time": (True, {"r": torch.ones(3)}),
    "given": ((5,), {"given": torch.ones(3, 5)}),
}
OTHER: dict[str, Any] = {"time": False, "out": 4}


def _answer(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> str:
    """net(t, x) is finite, of the shape of x, by sample, with a gradient; so it is with each further input it takes."""
    takes = inspect.signature(networks[name]).parameters
    taken, other = ([key for key in keys if key in takes] for keys in (FURTHER, OTHER))
    _call(networks[name](shape, **options), shape, {})
    for key in taken:
        value, named = FURTHER[key]
        _call(networks[name](shape, **options, **{key: value}), shape, named)
    for key in other:
        _call(networks[name](shape, **options, **{key: OTHER[key]}), shape, {}, **{key: OTHER[key]})
    return f"takes {', '.join(['t, x', *taken, *(f'{key} = {OTHER[key]}' for key in other)])}"


def _call(
    net: Any, shape: tuple[int, ...], named: dict[str, Tensor], time: bool = True, out: int | None = None
) -> None:
    rng = torch.Generator().manual_seed(0)
    x, t = torch.randn(3, *shape, generator=rng), torch.rand(3, generator=rng)
    inputs = (t, x) if time else (x,)
    call = f"net({', '.join(['t, x' if time else 'x', *named])})"
    answer = net.eval()(*inputs, **named)
    expected = x.shape if out is None else (3, out)
    fits = isinstance(answer, Tensor) and answer.shape == expected and answer.dtype == x.dtype
    require(fits, f"{call} of x {tuple(x.shape)} is {tuple(getattr(answer, 'shape', ()))}")
    require(bool(answer.isfinite().all()), f"{call} is not finite")
    parts = [slice(i, i + 1) for i in range(3)]
    alone = torch.cat(
        [net(*(each[i] for each in inputs), **{key: value[i] for key, value in named.items()}) for i in parts]
    )
    require(torch.allclose(answer, alone, atol=1e-4), f"{call} of a sample hangs on its batch")
    answer.square().sum().backward()
    still = [key for key, value in net.named_parameters() if value.requires_grad and value.grad is None]
    require(not still, f"{call}: no gradient to {', '.join(still[:3])}")


def of_dataset(name: str, workshop: Workshop) -> Iterator[Check]:
    yield "contract", bound(_contract, name, workshop)
    yield "stages", lambda: workshop.through_stages(workshop.run("fm_ot", workshop.component(name)))


def _contract(name: str, workshop: Workshop) -> str:
    """It is the same when it is built again, and its samples go to model space and back."""
    data = workshop.data(workshop.component(name))
    again = datasets[name](workshop.data_dir, **workshop.options.get(name, {}))
    require(data.checksum == again.checksum, "built twice, it holds two different sets of values")
    stored = data.test[:2]
    x = data.encode(stored, torch.Generator().manual_seed(0))
    require(
        tuple(x.shape) == (len(stored), *data.shape), f"encode gives {tuple(x.shape)}, not (B, *shape), {data.shape}"
    )
    back = data.decode(x)
    require(back.shape == stored.shape, f"decode gives {tuple(back.shape)}, and stored are {tuple(stored.shape)}")
    return f"{len(data.train)} + {len(data.test)} samples of shape {data.shape}"
