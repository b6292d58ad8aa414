"""What every dataset must be, a plugin's too, looked at once when it is built; see `Dataset` for the words."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from bench.datasets.base import BESIDE, PROBED, SPLITS, Dataset
from bench.datasets.source import check_source
from bench.datasets.space import Space
from bench.errors import UsageError, one_line
from bench.methods.rules import rule, shown

LEVELS = 256  # an image is stored as uint8


def checked(name: str, dataset: Any) -> Dataset:
    """The dataset itself; UsageError that names it and the rule that it breaks."""

    def require(holds: bool, rule: str) -> None:
        if not holds:
            raise UsageError(f"dataset {name}: {rule}")

    require(isinstance(dataset, Dataset), f"its builder gives a {type(dataset).__name__}, not a Dataset")
    require(isinstance(dataset.version, str) and dataset.version != "", f"version is {dataset.version!r}, not a text")
    levels = dataset.levels
    fits = levels is None or (isinstance(levels, int) and 2 <= levels <= LEVELS)
    require(fits, f"levels = {levels!r}: 2 to {LEVELS} grey levels, or None for points")
    given = dataset.given
    require(given is None or callable(given), f"given is {shown(given)}, not a function of samples; see train_given")
    has: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for split in SPLITS:
        values, labels, beside = (getattr(dataset, f"{split}{kind}") for kind in BESIDE)
        if split == "validation" and values is None:
            require(labels is None, "validation_labels without a validation split")
            require(beside is None, "validation_given without a validation split")
            continue
        require(*_stored(split, values, levels))
        train, shape, n = dataset.stored_shape, tuple(values.shape[1:]), len(values)
        require(train == shape, f"a sample of train has shape {train}, one of {split} {shape}")
        fits = labels is None or (_has_shape(labels, (n,)) and labels.dtype == torch.int64 and int(labels.min()) >= 0)
        require(fits, f"{split}_labels is {shown(labels)}, not int64 ({n},) from 0 up")
        require(beside is None or given is None, f"{split}_given beside a function given")
        require(*_stored_given(split, values, beside, dataset.train_given))
        has["labels", labels is not None].append(split)
        has["given", beside is not None].append(split)
    for kind in ("labels", "given"):
        some, none = (" and ".join(has[kind, known]) for known in (True, False))
        require(not (some and none), f"{kind} of {some}, none of {none}: all splits have {kind}, or none of them")
    names, width = dataset.columns, 0 if dataset.is_image else dataset.stored_shape[0]
    fits = names is None or (isinstance(names, tuple) and len({*map(str, names)}) == len(names) == width)
    require(fits, f"columns = {names!r}, not a tuple of {width} names" if width else "columns of images")
    few = dataset.test[:PROBED]
    if given:
        require(*_given(few, given(few)))
    if dataset.posterior:
        c = dataset.given_of("test", slice(PROBED))
        require(c is not None, "a posterior of samples that are given nothing")
        with rule(f"dataset {name}: posterior(given, rng)"):
            found = dataset.posterior(c, torch.Generator().manual_seed(0))
        fits = _has_shape(found, tuple(few.shape)) and found.dtype == few.dtype
        require(fits, f"posterior of {shown(c)} draws {shown(found)}, not {shown(few)}")
    if log_prob := dataset.joined.log_prob:
        what = "log_prob(x, given)" if dataset.is_given else "log_prob(x)"
        with rule(f"dataset {name}: {what}"):
            found = log_prob(dataset.joined.test[:PROBED])
        require(_has_shape(found, (len(few),)), f"log_prob of {len(few)} samples is {shown(found)}, not ({len(few)},)")
    if dataset.space is not None:
        require(*_space(dataset, few))
    if dataset.source is not None:
        try:
            broken = check_source(dataset.source, dataset.shape)
        except Exception as error:
            broken = f"source: {one_line(error)}"
        require(not broken, broken)
    return dataset


def _stored(split: str, values: Any, levels: int | None) -> tuple[bool, str]:
    """Whether a split is stored as it must be, and the rule."""
    if not isinstance(values, Tensor) or values.device.type != "cpu" or values.requires_grad:
        return False, f"{split} is {shown(values)}, not a tensor on the CPU without a gradient"
    if levels is None:
        fits = values.dtype == torch.float32 and values.ndim == 2
        rule = "not float32 (N, D) points; images need `levels`"
    else:
        fits, rule = values.dtype == torch.uint8 and values.ndim == 4, "not uint8 (N, C, H, W) images"
    if not fits or not values.numel():
        return False, f"{split} is {shown(values)}, {rule if not fits else 'empty'}"
    if levels is None and not (finite := torch.isfinite(values)).all():
        row, column = (~finite).nonzero()[0].tolist()
        place = f"row {row}, column {column} is {float(values[row, column])}"
        lost = f"{int((~finite).sum())} of {values.numel()} values are not finite"
        return False, f"{split} split: {place}, as {lost}; leave them out"
    if levels is not None and levels < LEVELS and (highest := int(values.max())) >= levels:
        return False, f"{split} has the value {highest}; with levels = {levels} the highest is {levels - 1}"
    return True, ""


def _stored_given(split: str, values: Tensor, given: Any, train: Any) -> tuple[bool, str]:
    """Whether what a split's samples are given is stored beside them as it must be, and the rule."""
    if given is None:
        return True, ""
    what = f"{split}_given"
    if not isinstance(given, Tensor) or given.dtype != torch.float32 or given.device.type != "cpu":
        return False, f"{what} is {shown(given)}, not a float32 tensor on the CPU"
    if isinstance(train, Tensor) and train.shape[1:] != given.shape[1:]:
        return False, f"{what} is {shown(given)}, and train_given {shown(train)}"
    if not torch.isfinite(given).all():
        return False, f"{what} has {int((~torch.isfinite(given)).sum())} values that are not finite; leave them out"
    return _given(values, given)


def _given(few: Tensor, found: Any) -> tuple[bool, str]:
    """Whether that is what few samples can be given, and the rule."""
    vectors = isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(few)
    images = isinstance(found, Tensor) and few.ndim == found.ndim == 4 and len(found) == len(few)
    fits = vectors or (images and found.shape[2:] == few.shape[2:])
    return fits, f"given of {shown(few)} is {shown(found)}, not (B, C', H, W) of its size or (B, K)"


def _space(dataset: Dataset, few: Tensor) -> tuple[bool, str]:
    """Whether encode and decode are maps of few samples to model space and back, and the rule."""
    if not isinstance(dataset.space, Space):
        return False, f"space is a {type(dataset.space).__name__} without encode, decode and keeps_density"
    volume = getattr(dataset.space, "log_volume", 0.0)
    if not isinstance(volume, int | float) or not math.isfinite(volume):
        return False, f"space: log_volume = {volume!r}, not a finite number"
    try:
        x = dataset.encode(few, torch.Generator().manual_seed(0))
        if not isinstance(x, Tensor) or x.dtype != torch.float32 or x.ndim < 2 or len(x) != len(few):
            return False, f"encode of {shown(few)} is {shown(x)}, not float32 ({len(few)}, ...)"
        back = dataset.decode(x)
    except Exception as error:
        return False, f"encode and decode: {one_line(error)}"
    fits = _has_shape(back, tuple(few.shape)) and back.dtype == few.dtype
    return fits, f"decode of {shown(x)} is {shown(back)}, not {shown(few)}"


def _has_shape(values: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(values, Tensor) and tuple(values.shape) == shape
