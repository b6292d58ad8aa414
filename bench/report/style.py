"""One look for every table, plot and page: a colour and a marker a baseline, one typeface, one set of lines.

The colours were chosen so that any two stay apart (OKLab distance of at least 0.12) for readers with normal vision,
protanopia, deuteranopia and tritanopia (Machado et al. 2009), and darker than white paper by enough to draw thin
lines. They go to methods in the order of the papers (bench/papers/paper.py).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from bench.papers.paper import order


class Look(NamedTuple):
    """How one baseline is drawn everywhere."""

    colour: str
    marker: str
    line: Literal["-", "--"] = "-"


COLOURS = ("#333d8f", "#4cc6f6", "#ecb100", "#027880", "#c63000", "#c857d6", "#33122a", "#889c7a")
FIRST = tuple(map(Look, COLOURS, "os^DvPXh"))
SPARE = (Look("#7a4f24", "<"), Look("#5c6fe0", ">"), Look("#9bbf1c", "p"), Look("#e08f8f", "d"), Look("#6a6a6a", "*"))
# Of more methods: the colours again with dashed lines, each with the marker of another.
DASHED = tuple(Look(look.colour, other.marker, "--") for look, other in zip(FIRST + SPARE, SPARE + FIRST, strict=True))
MARKERS = "".join(look.marker for look in FIRST + SPARE)

INK = "#1d2430"
MUTED = "#5d6675"
FAINT = "#c9ced6"
NOISE = "#7f8896"
FRONT = "#b4bac4"


def ordered(names: Iterable[str]) -> list[str]:
    """Baselines in the order of every table and plot: those of the papers in their order, then others by name."""
    place = {name: i for i, name in enumerate(order())}
    return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each baseline: the papers' first ones have always the same, others share out the further ones."""
    names, first = ordered(names), dict(zip(order(), FIRST, strict=False))
    others = [name for name in names if name not in first]
    further = {name: (SPARE + DASHED)[i % len(SPARE + DASHED)] for i, name in enumerate(others)}
    return {name: first.get(name) or further[name] for name in names}


def looks_of(baselines: Mapping[str, str], company: Iterable[str] = ()) -> dict[str, Look]:
    """The look of each variant, by its baseline: its further ones have the same colour, another marker and dashes."""
    look, seen, found = looks({*company, *baselines.values()}), Counter[str](), dict[str, Look]()
    for variant, baseline in baselines.items():
        first, i = look[baseline], seen[baseline]
        marker = MARKERS[(MARKERS.index(first.marker) + 6 * i) % len(MARKERS)]
        found[variant] = Look(first.colour, marker, "--") if i else first
        seen[baseline] += 1
    return found
