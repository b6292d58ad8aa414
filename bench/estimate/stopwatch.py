"""Seconds of work that is repeated, small or growing, none of it timed for longer than it has to be.

Work of one thread is timed in seconds of its core, which others at the machine do not lengthen; all other by the clock.
"""

import math
import statistics
import time
from collections.abc import Callable

import torch

from bench.evaluation import clock

LENGTH = 0.15  # seconds that are enough for one measurement
MOST = 40  # calls of one
STEEPEST = 3.0  # order of the growth of an exact transport


def now(device: str) -> float:
    if device == "cpu" and torch.get_num_threads() == 1:
        return time.process_time()
    return clock.now(device)


def once(work: Callable[[], object], device: str) -> float:
    begun = now(device)
    work()
    return now(device) - begun


def seconds(work: Callable[[], object], device: str, cold: bool = False) -> float:
    """The median of a warm call; a first call longer than LENGTH counts itself unless it is `cold`."""
    first = once(work, device)
    if first >= LENGTH and not cold:
        return first
    taken = [once(work, device)]
    while sum(taken) < LENGTH and len(taken) < MOST:
        taken.append(once(work, device))
    return statistics.median(taken)


def line(work: Callable[[int], object], device: str, few: int = 1, more: int = 5) -> tuple[float, float]:
    """(a, b) of seconds = a + b k of work(k), from `few` and `more`; of long work b alone, from `few`."""
    short = seconds(lambda: work(few), device)
    if short >= LENGTH:
        return 0.0, short / few
    long = seconds(lambda: work(more), device)
    each = max(0.0, (long - short) / (more - few))
    return max(0.0, short - few * each), each


def grown(work: Callable[[int], object], n: int, device: str) -> float:
    """Seconds of work(n): timed if that is cheap, else by a power law through the last two of n/64, n/32, ...

    seconds(n) = seconds(m) (n / m)^p,  p = ln(seconds(m) / seconds(l)) / ln(m / l) within [1, STEEPEST]
    """
    before, m = (0, 0.0), max(1, n // 64)
    once(lambda: work(m), device)
    while True:
        taken = once(lambda m=m: work(m), device)  # type: ignore[misc]
        if m >= n or taken >= LENGTH:
            break
        before, m = (m, taken), min(n, 2 * m)
    if m >= n:
        return taken
    least, less = before
    order = math.log(taken / less) / math.log(m / least) if less > 0 else 2.0
    return taken * (n / m) ** min(max(order, 1.0), STEEPEST)
