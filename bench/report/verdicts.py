"""Verdicts on claims: what the paired effects of seeds say, on each dataset and on all of a suite together.

The effects of bench/report/effects.py are tested against the claim's bound (bench/report/mean_effect.py), and
bench/report/decisions.py makes words of the p-values: supported, contradicted, tied or undecided, the last with what is
missing: runs, seeds, or an effect above the noise. What is one family, of which few words may be wrong, are the claims
of a paper that a suite's runs of one protocol can judge, and once more those on each of its datasets; a claim of a
user's own is a family by itself, as it is the question that the user asks.

A value that could not be had (it diverged) leaves its comparison without an effect, on either side: the claim is
undecided with that reason, unless another comparison contradicts it.

Over several datasets the effect is the mean over them, if effects have one unit; otherwise the claim must hold on each:
the comparisons on all of them are then the claim's. A dataset that has runs of fewer seeds by plan than the claim takes
keeps the verdict on itself and has no part in that on the suite, unless all are such.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.errors import one_line
from bench.papers.claims import Claim
from bench.report import wording
from bench.report.decisions import WORDS, Word, decided, evidence
from bench.report.effects import Effects, comparisons
from bench.report.extract import count, listed
from bench.report.mean_effect import Effect, mean_effect
from bench.report.sections import Section

CAVEATS = {
    "paper": "",
    "small": "at a reduced scale: the published experiment may decide otherwise",
    "smoke": "a smoke run decides nothing",
}


SHARED = (
    "Runs of these records drew by their seed alone: datasets share it and are not independent, as they are taken to "
    "be, so intervals and words over several of them may be too sure"
)


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim on a dataset; on "" if on all of the suite, whose `parts` are those on each.

    Attributes:
        effects: of all comparisons; none of datasets that share no unit, whose effects have no mean.
        deciding: the one that the word hangs on, with the dataset if it has no mean over several; None without any.
        sets: on how many datasets every effect's median is on the claim's side, and of how many.
        untuned: the verdict on the runs at the suite's own settings, if the suite tunes and has such runs too.
        doubt: on the mean over several datasets, of records whose datasets share seeds; "" if none.
    """

    claim: Claim
    suite: str
    protocol: str
    dataset: str
    word: Word
    summary: str
    effects: tuple[Effect, ...] = ()
    parts: "tuple[Verdict, ...]" = ()
    deciding: Effect | None = None
    sets: tuple[int, int] = (0, 0)
    untuned: "Verdict | None" = None
    doubt: str = ""

    @property
    def caveat(self) -> str:
        """What must stand beside the word below the paper's protocol."""
        return CAVEATS.get(self.protocol, f"protocol {self.protocol}, not the paper's")

    @property
    def otherwise(self) -> "Verdict | None":
        """The verdict on the untuned runs if its word is another."""
        return self.untuned if self.untuned and self.untuned.word != self.word else None


class _Case(NamedTuple):
    """A claim with the effects of its comparisons on all of the suite, and on each dataset.

    Attributes:
        each: of the datasets that the suite is judged by.
        few: those that have too few seeds for it.
    """

    claim: Claim
    each: Sequence[Effects]
    few: Sequence[Effects]
    whole: tuple[Effect, ...]
    on: dict[str, tuple[Effect, ...]]
    has_mean: bool

    @property
    def sets(self) -> tuple[int, int]:
        """On how many datasets the median of every effect is on the claim's side, and of how many."""
        judged = [self.on[effects.section.name] for effects in self.each]
        return sum(all(e.medians and max(e.medians) < 0 for e in effects) for effects in judged), len(judged)

    @property
    def left_out(self) -> str:
        """ "without digits (1 seed planned; it takes 3)"; "" if none is left out."""
        named = [f"{effects.section.name} ({count(effects.seeds, 'seed')} planned)" for effects in self.few]
        return f"without {listed(named)}, as it takes {self.claim.seeds}" if named else ""


def verdicts(claims: Iterable[Claim], sections: Sequence[Section], complaints: list[str]) -> list[Verdict]:
    """The verdict on every claim over the datasets of a suite and protocol; `complaints` gets what cannot be judged."""
    claims, found = list(claims), list[Verdict]()
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        of_suite = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        of_claims: dict[int, Verdict] = {}
        families: dict[str, dict[int, _Case]] = {}
        for i, claim in enumerate(claims):
            if claim.paper:  # left out where a method that it names is not planned; none is of super-resolution
                named = {*claim.subject, *claim.against}
                about = [s for s in of_suite if named <= set(s.frame.baseline) and not s.is_super_resolution]
            elif not (about := [s for s in of_suite if set(s.frame.baseline) & set(claim.subject)]):
                missing = f"no run of {listed(claim.subject)}"
                of_claims[i] = Verdict(claim, suite, protocol, "", "undecided", missing)
            try:
                if case := _case(claim, about):
                    families.setdefault(claim.paper or f"claim {i}", {})[i] = case
            except Exception as error:  # hours of records are worth a report without one claim
                complaints.append(f"claim {claim.id}: {one_line(error)}")
        for family in families.values():
            of_claims |= zip(family, _judged([*family.values()]), strict=True)
        found += [of_claims[i] for i in sorted(of_claims)]
    return found


def _case(claim: Claim, about: Iterable[Section]) -> _Case | None:
    planned = [Effects(claim, section) for section in about]
    planned = [effects for effects in planned if effects.is_planned or not claim.paper]
    few = [effects for effects in planned if 0 < effects.seeds < claim.seeds]
    few = few if len(few) < len(planned) else []
    each = [effects for effects in planned if effects not in few]
    asked = comparisons(claim)
    on = {effects.section.name: tuple(mean_effect([effects], one) for one in asked) for effects in planned}
    if len(each) < 2:
        return _Case(claim, each, few, on[each[0].section.name], on, True) if each else None
    if claim.is_ratio or len({effects.metric for effects in each}) == 1:
        return _Case(claim, each, few, tuple(mean_effect(each, one) for one in asked), on, True)
    whole = tuple(replace(e, rival=f"{e.rival} on {ds.section.name}") for ds in each for e in on[ds.section.name])
    return _Case(claim, each, few, whole, on, False)


def _judged(family: Sequence[_Case]) -> list[Verdict]:
    """The verdict on every claim of a family, with those on its datasets if it has several."""
    parts: list[dict[str, Verdict]] = [{} for _ in family]
    for name in dict.fromkeys(name for case in family for name in case.on if len(case.on) > 1):
        here = [i for i, case in enumerate(family) if name in case.on]
        for i, verdict in zip(here, _words([(family[i], name) for i in here]), strict=True):
            parts[i][name] = verdict
    wholes = _words([(case, "") for case in family])
    return [_together(*of_claim) for of_claim in zip(family, wholes, parts, strict=True)]


def _words(places: Sequence[tuple[_Case, str]]) -> list[Verdict]:
    """The verdicts on claims that are judged together, each on a dataset or on "", all of the suite."""
    of_claims = [case.on[dataset] if dataset else case.whole for case, dataset in places]
    words, left = decided([evidence([e.p_values for e in effects]) for effects in of_claims])
    found = []
    for (case, dataset), effects, place in zip(places, of_claims, words, strict=True):
        claim, section, word = case.claim, case.each[0].section, WORDS[place]
        why = wording.reason(claim, word, effects, len(places), left)
        if section.protocol == "smoke":
            word, why = "undecided", CAVEATS["smoke"]
        each = [e for e in (*case.each, *case.few) if e.section.name == dataset] if dataset else case.each
        one = wording.deciding(word, effects)
        of_place = (section.suite, section.protocol, dataset)
        found.append(Verdict(claim, *of_place, word, f"{wording.what(each)}: {why}", effects, (), one))
    return found


def _together(case: _Case, whole: Verdict, parts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on all of the suite, with what is known of its datasets."""
    sets, effect = case.sets, whole.deciding
    beside = wording.beside(effect if effect and not effect.missing else None, sets)
    doubt = SHARED if sets[1] > 1 and any(effects.section.shares_seeds for effects in case.each) else ""
    whole = replace(whole, parts=tuple(parts.values()), sets=sets, doubt=doubt)
    counted, why = _counted(whole.parts), whole.summary
    if not case.has_mean:
        why = why if whole.word == "undecided" else ""  # what a mean would say, of the comparison that decides
        whole = replace(whole, effects=())
    elif sets[1] > 1 and not any(e.missing for e in whole.effects):
        counted = f"mean over {sets[1]} datasets, {counted}"
    return replace(whole, summary="; ".join(filter(None, (why, counted, case.left_out, beside))))


def _counted(parts: Sequence[Verdict]) -> str:
    """ "supported on moons and rings, undecided on digits"; numbers if there are many."""
    on = {word: [part.dataset for part in parts if part.word == word] for word in WORDS}
    told = {word: listed(names) if len(names) < 4 else str(len(names)) for word, names in on.items() if names}
    return ", ".join(f"{word} on {names}" for word, names in told.items())
