"""How often the rule of verdicts errs, and how often it decides, by simulation: one table.

`python tests/report/verdict_errors.py [--repetitions N] [--out FILE.md]`

Effects are drawn and given to the functions that judge: the mean over datasets with Welch's degrees of freedom
(bench/report/statistics.py), then the words on all claims of a family (bench/report/decisions.py). They are in units of
the deviation of paired effects over seeds; at a mean effect of 0 a claim is at its bound, below 0 it is true.
"""

import argparse
import datetime
import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from bench.records import provenance
from bench.report.decisions import LEVEL, WORDS, Tails, decided, evidence
from bench.report.statistics import MeanOverSets

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Noise = Callable[[np.random.Generator, Shape], Array]  # of mean 0; the last axes are datasets and seeds
REPETITIONS, PART, ALLOWED = 100_000, 2000, 0.03
HEADER = ("mean effect", "noise", "sets x seeds", "rivals", "claims", *WORDS[:3], "a wrong word")
LOST = 0.35  # of a rival's runs lose points, which costs them one deviation by a bounded score
EITHER = ("supported", "contradicted")


def normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(size=shape)


def unlike_scales(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(size=shape) * np.geomspace(0.1, 5, shape[-2])[:, None]


def student_2(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_t(2, size=shape)


def student_3(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_t(3, size=shape)


def lognormal(rng: np.random.Generator, shape: Shape) -> Array:
    return (rng.lognormal(size=shape) - math.e**0.5) / (math.e * (math.e - 1)) ** 0.5


def lost_points(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(size=shape) - ((rng.random(shape) < LOST) - LOST)


def lost_points_unbounded(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(size=shape) - 10 ** rng.uniform(3, 27, shape) * (rng.random(shape) < LOST)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        effect: what is true, in words.
        means: of the effects against each rival; if there are several, the subject's noise is in all of them.
        seeds: on each dataset.
        wrong: words that no claim may get; of the others the mean share of claims that get one is counted.
        is_spread: effects are logarithms of ratios of standard deviations over seeds, one per dataset.
    """

    effect: str
    noise: Noise
    means: tuple[float, ...] = (0.0,)
    seeds: tuple[int, ...] = (5,) * 8
    claims: int = 1
    margin: float = math.nan
    wrong: tuple[str, ...] = EITHER
    is_spread: bool = False

    def effects(self, rng: np.random.Generator, n: int) -> list[list[Array]]:
        """n of each, by rival and dataset: (n, seeds)."""

        def values() -> Array:
            return self.noise(rng, (n, len(self.seeds), max(self.seeds)))

        subject, made = values(), []
        for mean in self.means:
            if self.is_spread:
                made.append([mean + np.log(subject.std(-1, ddof=1) / values().std(-1, ddof=1))])
                continue
            paired = (subject - values()) / 2**0.5 if len(self.means) > 1 else subject
            made.append([mean + paired[:, place, :m] for place, m in enumerate(self.seeds)])
        return made

    def words(self, rng: np.random.Generator, n: int) -> Array:
        """Places in WORDS, (claims, n)."""
        family = []
        for _ in range(self.claims):
            tests = [MeanOverSets(sets).below_and_above for sets in self.effects(rng, n)]
            family.append(evidence([Tails.of(test, 0.0, self.margin) for test in tests]))
        found: Array = decided(family)[0]
        return found

    def shares(self, repetitions: int, seed: int = 0) -> dict[str, float]:
        """Of each word; of a wrong one the share of repetitions in which any claim gets it."""
        rng, counted = np.random.default_rng(seed), dict.fromkeys(WORDS[:3], 0.0)
        for start in range(0, repetitions, PART):
            words = self.words(rng, min(PART, repetitions - start))
            for place, word in enumerate(counted):
                got = words == place
                counted[word] += float((got.any(0) if word in self.wrong else got.mean(0)).sum())
        return {word: count / repetitions for word, count in counted.items()}


MANY, UNLIKE = (10,) * 8, (3, 4, 5, 6, 7, 8, 9, 10)
FAR = (0.0, -3.0, -3.0, -3.0)
CASES = (
    *(
        Case("0", noise, seeds=seeds)
        for noise in (normal, unlike_scales, student_2, lost_points, lognormal)
        for seeds in ((5,) * 8, MANY)
    ),
    Case("0", normal, seeds=(5,)),
    Case("0", normal, seeds=(3, 3, 3)),
    Case("0", unlike_scales, seeds=UNLIKE),
    Case("0 against all", normal, (0.0,) * 4),
    Case("0 against one, -3 against three", normal, FAR),
    Case("0 against one, -3 against three", lost_points, FAR),
    Case("0, all claims of a paper", normal, claims=12),
    Case("0, all claims of a paper", unlike_scales, claims=12),
    Case("0 against one, -3 against three, all claims", normal, FAR, claims=12),
    *(
        Case(f"{mean:+}, at the margin", noise, (mean,), margin=0.5, wrong=("tied",))
        for noise in (normal, unlike_scales)
        for mean in (0.5, -0.5)
    ),
    Case("-0.5 against all, at the margin", normal, (-0.5,) * 4, margin=0.5, wrong=("tied",)),
    *(
        Case("0, of deviations (C4b)", noise, seeds=seeds, is_spread=True)
        for noise in (normal, student_3)
        for seeds in ((5,) * 8, MANY)
    ),
    *(
        Case("-0.5", noise, (-0.5,), seeds, wrong=())
        for noise in (normal, student_2, lost_points, lost_points_unbounded)
        for seeds in ((5,) * 8, MANY)
    ),
    Case("-0.5 against all", normal, (-0.5,) * 4, wrong=()),
    Case("+0.5 against all", normal, (0.5,) * 4, wrong=()),
    Case("-0.5, all claims of a paper", normal, (-0.5,), claims=12, wrong=()),
    Case("0, within the margin of 0.5", normal, margin=0.5, wrong=EITHER),
    Case("log 0.5, of deviations (C4b)", normal, (math.log(0.5),), wrong=(), is_spread=True),
    Case("log 0.5, of deviations (C4b)", student_3, (math.log(0.5),), wrong=(), is_spread=True),
)


def cells(case: Case, shares: dict[str, float]) -> list[str]:
    seeds = f"{min(case.seeds)}" if len({*case.seeds}) == 1 else f"{min(case.seeds)} to {max(case.seeds)}"
    place = [f"{len(case.seeds)} x {seeds}", str(len(case.means)), str(case.claims)]
    shown = ["" if word == "tied" and math.isnan(case.margin) else f"{share:.3f}" for word, share in shares.items()]
    return [case.effect, case.noise.__name__.replace("_", " "), *place, *shown, held(case, shares)]


def held(case: Case, shares: dict[str, float]) -> str:
    """Whether wrong words are as rare as asked for; "" where none is wrong."""
    if not case.wrong:
        return ""
    return "as asked for" if max(shares[word] for word in case.wrong) <= ALLOWED else f"above {ALLOWED}"


def markdown(rows: list[list[str]], facts: str) -> str:
    table = [HEADER, ["---"] * len(HEADER), *rows]
    return "\n\n".join([facts, "\n".join(f"| {' | '.join(row)} |" for row in table)]) + "\n"


def facts(repetitions: int) -> str:
    command = shlex.join(["python", "tests/report/verdict_errors.py", *sys.argv[1:]])
    return (
        f"Shares of {repetitions:,} simulated repetitions in which the rule of verdicts gives a word, standard error "
        f"{(LEVEL * (1 - LEVEL) / repetitions) ** 0.5:.4f} at the nominal {LEVEL}. Effects are in deviations of paired "
        "effects over seeds; at a mean of 0 every word but tied is wrong, and at the margin tied is; of several claims "
        "a repetition counts if any has a wrong word. A rival that loses points does so in 35% of runs, which costs a "
        "run one deviation by a bounded score, and 1e3 to 1e27 by one without a bound, where one run outweighs all. "
        "Skewed effects of few seeds are called supported too often, as few of them show the long tail that the mean "
        "hangs on: that is the limit of this rule. "
        f"Commit {provenance.commit()}, numpy {np.__version__}, {datetime.date.today().isoformat()}; `{command}`."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table as Markdown, too")
    options = parser.parse_args()
    about, rows = facts(options.repetitions), []
    print(about, " | ".join(HEADER), sep="\n\n")
    for case in CASES:
        rows.append(cells(case, case.shares(options.repetitions)))
        print(" | ".join(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(markdown(rows, about), encoding="utf-8")


if __name__ == "__main__":
    main()
