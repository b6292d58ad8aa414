import math
from typing import Any

import pytest
import scipy.stats
import synthetic

from bench.papers.claims import SHORT, Claim, of_papers
from bench.report.claim_tables import claim_tables, tidy
from bench.report.markdown import document
from bench.report.sections import sections
from bench.report.verdicts import SHARED, Verdict, verdicts

FASTER: dict[str, Any] = {"id": "T", "title": "FM-OT is fastest", "source": "s. 1", "metric": "nfe_sampling"}
FASTER |= {"subject": "fm_ot", "against": "ddpm"}
LEAD = (-0.30, -0.28, -0.33, -0.31, -0.29)  # log ratios, far below 0
NOISE = (-0.30, 0.28, -0.03, 0.31, -0.20)


def runs(effects: tuple[float, ...], rival: str = "ddpm", dataset: str = "moons", **more: Any) -> list[dict[str, Any]]:
    """FM-OT at 100 exp(e_s) evaluations beside a rival at 100."""
    rows = []
    for seed, effect in enumerate(effects):
        for baseline, value in (("fm_ot", 100 * math.exp(effect)), (rival, 100.0)):
            rows.append({
                "dataset": dataset, "baseline": baseline, "label": synthetic.LABELS[baseline], "seed": seed,
                "variant": f"{dataset}-{baseline}-0a1b2c", "metric": "nfe_sampling", "value": value,
                "settings": synthetic.ODE, **more,
            })  # fmt: skip
    return rows


def judge(rows: list[dict[str, Any]], **claim: Any) -> list[Verdict]:
    parts = sections(synthetic.frame(*rows))
    whole = verdicts([Claim(**{**FASTER, **claim})], parts, [])
    return [part for verdict in whole for part in (verdict, *verdict.parts)]


def test_a_lead_beyond_the_noise_supports_with_its_interval() -> None:
    (verdict,) = judge(runs(LEAD))
    (effect,) = verdict.effects
    assert (verdict.word, verdict.dataset, effect.pairs, effect.kept) == ("supported", "", 5, 5)
    low, high = scipy.stats.t.interval(0.95, 4, sum(LEAD) / 5, scipy.stats.sem(LEAD))
    assert (effect.low, effect.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert effect.p == pytest.approx(scipy.stats.ttest_1samp(LEAD, 0).pvalue)
    assert effect.text == "× 0.739 [0.722, 0.757]"
    assert set(effect.run_ids) == {f"moons-{b}-0a1b2c-s{s}" for b in ("fm_ot", "ddpm") for s in range(5)}


def test_a_lag_beyond_the_noise_contradicts() -> None:
    (verdict,) = judge(runs(tuple(-e for e in LEAD)))
    assert verdict.word == "contradicted"


def test_noise_is_undecided_and_says_so() -> None:
    (verdict,) = judge(runs(NOISE))
    assert verdict.word == "undecided" and "effect below the noise" in verdict.summary
    assert "(3 of 5 seeds); about 434 seeds would decide; probability of improvement 0.60" in verdict.summary
    assert "more than 1,000 seeds would decide" in judge(runs(NOISE), margin=1.0001)[0].summary
    further = [effect - 0.15 for effect in NOISE]
    test = scipy.stats.ttest_1samp(further, 0)
    half = test.confidence_interval().high - sum(further) / 5
    (verdict,) = judge(runs(tuple(further)))
    assert f"about {math.ceil(5 * (half / (sum(further) / 5)) ** 2)} seeds would decide" in verdict.summary


def test_effects_within_the_margin_are_tied() -> None:
    even = (0.010, -0.012, 0.005, -0.003, 0.002)
    (verdict,) = judge(runs(even))
    assert verdict.word == "tied" and verdict.summary.startswith(
        "Sampling NFE: no further apart than a ratio of 1.05, ×"
    )
    assert verdict.effects[0].high < 1.05
    (verdict,) = judge(runs(even), margin=1.005)
    assert verdict.word == "undecided" and "seeds would decide" in verdict.summary
    # With a bound of its own a claim asks for a lead, or allows for a lag, and nothing is tied.
    assert [judge(runs(even), bound=bound)[0].word for bound in (0.95, 1.05)] == ["contradicted", "supported"]
    assert judge(runs(even), bound=1.001)[0].word == "undecided"


def test_the_words_on_a_papers_claims_allow_for_their_number() -> None:
    lead = tuple(-effect for effect in (0.30, 0.10, 0.05, 0.28, 0.12))
    p = scipy.stats.ttest_1samp(lead, 0, alternative="less").pvalue
    assert 0.025 / 12 < p < 0.025

    def words(n: int, paper: str) -> list[Verdict]:
        parts = sections(synthetic.frame(*runs(lead)))
        return verdicts([Claim(**{**FASTER, "id": f"T{i}", "paper": paper}) for i in range(n)], parts, [])

    assert [verdict.word for verdict in words(1, "lipman2023")] == ["supported"]
    assert {verdict.word for verdict in words(12, "lipman2023")} == {"undecided"}
    summary = words(12, "lipman2023")[0].summary
    assert "below its bound, but not beyond what the best of 12 claims is by chance" in summary
    half = scipy.stats.t.ppf(1 - 0.025 / 12, 4) * scipy.stats.sem(lead)
    assert f"about {math.ceil(5 * (half / (sum(lead) / 5)) ** 2)} seeds would decide" in summary
    # A user's own claims are a question each.
    assert {verdict.word for verdict in words(12, "")} == {"supported"}
    assert [verdict.claim.id for verdict in words(12, "")] == [f"T{i}" for i in range(12)]


def test_a_bound_moves_the_verdict() -> None:
    assert judge(runs(LEAD), bound=0.7)[0].word == "contradicted"  # exp(-0.3) = 0.74
    assert judge(runs(LEAD), bound=0.8)[0].word == "supported"
    assert judge(runs(NOISE), bound=3.0)[0].word == "supported"  # at least as good, with much slack


def test_every_rival_must_be_behind_and_one_ahead_contradicts() -> None:
    both = [*runs(LEAD), *runs(NOISE, "rnode")[1::2]]
    for row in both[-5:]:  # RNODE at FM-OT's own number of evaluations, give or take
        row["value"] = 70.0 + 4 * row["seed"] % 9
    (verdict,) = judge(both, against=["ddpm", "rnode"])
    assert verdict.word == "undecided" and "RNODE" in verdict.summary
    for row in both[-5:]:
        row["value"] = 50.0 + row["seed"]
    (verdict,) = judge(both, against=["ddpm", "rnode"])
    assert verdict.word == "contradicted" and "RNODE" in verdict.summary


@pytest.mark.parametrize(("seeds", "word"), [(3, "undecided"), (5, "undecided"), (6, "supported")])
def test_equal_effects_of_a_few_seeds_decide_nothing(seeds: int, word: str) -> None:
    (verdict,) = judge(runs((-0.3,) * seeds))
    (effect,) = verdict.effects
    assert verdict.word == word
    assert effect.p == pytest.approx(2 * 0.5**seeds)
    assert math.isnan(effect.low) and math.isnan(effect.high)
    assert effect.text == "× 0.741"


def test_many_comparisons_do_not_contradict_by_chance() -> None:
    # A lag with a one-sided p-value between 0.025 / 4 and 0.025 contradicts alone, and not as one of four.
    lag = (0.30, 0.10, 0.05, 0.28, 0.12)
    p = scipy.stats.ttest_1samp(lag, 0, alternative="greater").pvalue
    assert 0.025 / 4 < p < 0.025
    assert judge(runs(lag))[0].word == "contradicted"
    others = [row for rival in ("rnode", "ffjord", "scoreflow") for row in runs(LEAD, rival)[1::2]]
    for row in others:
        row["value"] = 1000.0
    assert judge([*runs(lag), *others], against=["ddpm", "rnode", "ffjord", "scoreflow"])[0].word == "undecided"


def test_too_few_seeds_are_counted() -> None:
    (verdict,) = judge(runs(LEAD[:2]))
    assert verdict.word == "undecided" and "2 of 3 seeds" in verdict.summary


def test_missing_runs_are_named() -> None:
    (verdict,) = judge(runs(LEAD), against=["ddpm", "rnode", "ffjord"])
    assert verdict.word == "undecided"
    assert verdict.summary == "Sampling NFE: no finished run of rnode and ffjord"


@pytest.mark.parametrize("digest", ["000000", "ffffff"])
def test_a_claim_is_about_the_current_plan_however_many_seeds_earlier_settings_had(digest: str) -> None:
    earlier = [{**row, "variant": f"moons-fm_ot-{digest}", "current": False} for row in runs((0.5,) * 9)[::2]]
    rows = [*runs(LEAD[:3]), *earlier]
    parts = sections(synthetic.frame(*rows))
    assert [part.current for part in parts] == [True, False]
    (verdict,) = verdicts([Claim(**FASTER)], [part for part in parts if part.current], [])
    assert verdict.word == "supported" and verdict.effects[0].pairs == 3


def test_a_claim_on_a_baseline_with_two_planned_settings_is_undecided_and_says_so() -> None:
    second = [{**row, "variant": "moons-fm_ot-ffffff"} for row in runs(LEAD)[::2]]
    frame = synthetic.frame(*runs(LEAD), *second)
    lr = {"moons-fm_ot-0a1b2c": 0.1, "moons-fm_ot-ffffff": 0.2}
    parts = sections(frame, {variant: {"training": {"lr": value}} for variant, value in lr.items()})
    (verdict,) = verdicts([Claim(**FASTER)], parts, [])
    assert verdict.word == "undecided"
    assert "several settings" in verdict.summary and "FM w/ OT, lr = 0.1 and FM w/ OT, lr = 0.2" in verdict.summary


def test_an_own_claim_about_a_method_that_is_not_there_is_named_and_the_papers_are_left_out() -> None:
    (verdict,) = judge(runs(LEAD), subject="ot_cmf")
    assert (verdict.word, verdict.summary) == ("undecided", "no run of ot_cmf")
    assert judge(runs(LEAD), paper="lipman2023", subject="ot_cfm") == []


@pytest.mark.parametrize("lost", [{"value": math.inf}, {"status": "failed", "metric": "", "value": math.nan}])
def test_a_seed_that_is_lost_may_be_the_one_that_decides(lost: dict[str, Any]) -> None:
    rows = runs(LEAD)
    rows[2] |= lost  # FM-OT's second seed
    (verdict,) = judge(rows)
    assert verdict.word == "undecided"
    assert verdict.summary == "Sampling NFE: 4 of 5 seeds with a finite effect"


def test_an_effect_beyond_numbers_is_infinite() -> None:
    rows = runs((0.0, 300.0, 700.0))
    (verdict,) = judge(rows)
    assert verdict.effects[0].high == math.inf


def test_super_resolution_is_not_what_the_paper_claims_something_of() -> None:
    rows = [*runs(LEAD), *({**row, "metric": "psnr"} for row in runs(LEAD))]
    assert judge(rows, paper="lipman2023") == []
    assert [verdict.word for verdict in judge(rows)] == ["supported"]


def test_sign_flip_decides_from_six_seeds_on() -> None:
    six = (*LEAD, -0.27)
    (verdict,) = judge(runs(six), test="sign_flip", seeds=6)
    assert verdict.word == "supported" and verdict.effects[0].p == pytest.approx(2 / 64)


@pytest.mark.slow
def test_below_the_papers_protocol_the_word_has_a_caveat() -> None:
    assert judge(runs(LEAD, protocol="paper"))[0].caveat == ""
    assert "reduced scale" in judge(runs(LEAD, protocol="small"))[0].caveat


@pytest.mark.slow
def test_a_smoke_run_decides_nothing() -> None:
    (verdict,) = judge(runs(LEAD, protocol="smoke"))
    assert verdict.word == "undecided" and "a smoke run decides nothing" in verdict.summary


def test_over_independent_datasets_the_mean_effect_is_tested_by_welch() -> None:
    whole, moons, rings = judge([*runs(LEAD), *runs((*NOISE, 0.05), dataset="rings")])
    assert (whole.dataset, moons.dataset, rings.dataset) == ("", "moons", "rings")
    assert (moons.word, rings.word) == ("supported", "undecided")
    (effect,) = whole.effects
    assert effect.mean == pytest.approx(math.exp((sum(LEAD) / 5 + sum((*NOISE, 0.05)) / 6) / 2))
    # The mean of two means is half the difference of one and minus the other.
    welch = scipy.stats.ttest_ind(LEAD, [-x for x in (*NOISE, 0.05)], equal_var=False)
    assert effect.p == pytest.approx(welch.pvalue)
    ends = [math.exp(end / 2) for end in welch.confidence_interval()]
    assert (effect.low, effect.high) == pytest.approx(ends)
    assert (effect.pairs, effect.kept, effect.noun) == (11, 8, "pair")
    assert "mean over 2 datasets, supported on moons, undecided on rings" in whole.summary
    assert whole.sets == (1, 2) and "on its side in 1 of 2 datasets, probability of improvement 0.75" in whole.summary


def test_from_six_datasets_on_their_medians_are_ranked() -> None:
    names = ("moons", "rings", "circles", "pinwheel", "swissroll", "checkerboard")
    rows = [row for i, name in enumerate(names) for row in runs(tuple(e * (1 + i) for e in LEAD), dataset=name)]
    whole = judge(rows)[0]
    assert whole.effects[0].p_sets == pytest.approx(2 / 2**6) and whole.sets == (6, 6)
    assert whole.summary.endswith("supported on 6; on its side in 6 of 6 datasets, probability of improvement 1.00, "
                                  "Wilcoxon over datasets p = 0.031")  # fmt: skip
    assert math.isnan(judge(rows[:-10])[0].effects[0].p_sets)


def test_a_seed_that_a_dataset_lacks_leaves_the_mean_undecided_and_names_the_dataset() -> None:
    rows = [*runs(LEAD), *runs(LEAD, dataset="rings"), *runs(LEAD, dataset="circles")]
    rows[10]["value"] = math.inf
    whole = judge(rows)[0]
    assert whole.word == "undecided"
    assert whole.summary.startswith("Sampling NFE: 4 of 5 seeds with a finite effect on rings; supported on")
    assert whole.sets == (2, 3)


def spreads(ratios: list[float]) -> list[dict[str, Any]]:
    """Five seeds of FM-OT on each of some datasets, so many times as far apart as DDPM's."""
    names = ("moons", "rings", "circles", "pinwheel")
    return [
        {**row, "value": 50 + at * (ratio if row["baseline"] == "fm_ot" else 1.0)}
        for name, ratio in zip(names, ratios, strict=False)
        for row in runs((0.0,) * 5, dataset=name)
        for at in [(-2.0, -1.0, 0.5, 1.5, 4.0)[row["seed"]]]
    ]


def test_a_dataset_of_too_few_seeds_by_plan_has_no_part_in_the_word_on_the_suite() -> None:
    whole, moons, digits = judge(runs(LEAD) + runs(LEAD[:1], dataset="digits"))
    assert (whole.word, moons.word, digits.word) == ("supported", "supported", "undecided")
    assert whole.sets == (1, 1) and whole.effects == moons.effects
    assert "without digits (1 seed planned), as it takes 3" in whole.summary
    assert digits.summary == "Sampling NFE: 1 of 3 seeds with a finite effect"
    (whole, *_) = judge(runs(LEAD) + runs(LEAD, dataset="rings") + runs(LEAD[:1], dataset="digits"))
    assert whole.word == "supported" and whole.sets == (2, 2) and "mean over 2 datasets" in whole.summary
    (whole, *_) = judge(runs(LEAD[:2]) + runs(LEAD[:1], dataset="digits"))
    assert whole.word == "undecided" and "3 of 6 seeds" in whole.summary


def test_a_spread_is_tested_over_datasets() -> None:
    ratios = [0.4, 0.5, 0.45, 0.6]
    whole, *parts = judge(spreads(ratios), measure="spread", seeds=5)
    (effect,) = whole.effects
    logs = [math.log(ratio) for ratio in ratios]
    test = scipy.stats.ttest_1samp(logs, 0)
    assert (whole.word, effect.pairs, effect.noun) == ("supported", 4, "dataset")
    assert effect.p == pytest.approx(test.pvalue)
    assert (effect.mean, effect.low) == pytest.approx(
        (math.exp(sum(logs) / 4), math.exp(test.confidence_interval().low))
    )
    assert [part.word for part in parts] == ["undecided"] * 4
    assert parts[0].summary == (
        "Sampling NFE, standard deviation over seeds: a spread is one number per dataset, and judged over 3 or more, "
        "× 0.400 against DDPM (1 of 1 dataset)"
    )
    assert judge(spreads(ratios[:3]), measure="spread")[0].word == "supported"
    assert judge(spreads(ratios[:2]), measure="spread")[0].word == "undecided"
    undecided = judge(spreads([0.4, 1.2, 0.9, 1.1]), measure="spread")[0]
    assert undecided.word == "undecided" and " datasets would decide" in undecided.summary


def test_nats_and_bits_have_no_mean() -> None:
    said = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}
    rows = runs(LEAD, metric="nll_nats", **said) + runs(LEAD, dataset="digits", metric="nll_bpd", **said)
    whole, moons, digits = judge(rows, metric="nll")
    assert (whole.word, moons.word, digits.word) == ("supported",) * 3
    assert not whole.effects and whole.summary.startswith("supported on moons and digits; on its side in 2 of 2")
    assert whole.deciding and whole.deciding.rival in ("DDPM on moons", "DDPM on digits")
    assert (moons.effects[0].unit, digits.effects[0].unit) == ("nats", "bits/dim")
    for row in rows[-10:]:
        row["value"] = 100.0 + (-1) ** row["seed"] * (row["baseline"] == "fm_ot")
    whole = judge(rows, metric="nll")[0]
    assert whole.word == "undecided"
    assert whole.summary.startswith("NLL: effect below the noise, ") and " against DDPM on digits (" in whole.summary
    assert " seeds would decide; supported on moons, undecided on digits" in whole.summary


def test_datasets_of_records_that_share_seeds_are_said_to() -> None:
    """A likelihood without its defensive twin is of before a run drew by its dataset, too."""
    twins = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}

    def said(*metrics: str, datasets: tuple[str, ...] = ("moons", "rings")) -> tuple[str, bool]:
        rows = [row for name in datasets for row in runs(LEAD, dataset=name)]
        rows += [row for name in datasets for m in metrics for row in runs(LEAD, dataset=name, **twins, metric=m)]
        whole = judge(rows)[0]
        return whole.doubt, any(remark.startswith(SHARED) for remark in claim_tables([whole])[0].remarks)

    assert said("nll_nats") == (SHARED, True)
    assert said("nll_nats", "nll_defensive_nats") == said() == ("", False)
    assert said("nll_nats", datasets=("moons",)) == ("", False)


def test_tables_never_show_a_bare_word_below_the_papers_protocol() -> None:
    found = judge([*runs(LEAD), *runs(NOISE, dataset="rings")])[:1]
    claims, by_dataset = claim_tables(found)
    (row,) = claims.rows
    assert (row.label, row.sampler) == ("T FM-OT is fastest", "undecided†")
    assert [entry.text for entry in row.entries] == [f"{found[0].effects[0].text}, DDPM", "2 of 2"]
    assert [header.title for header in by_dataset.headers] == ["moons", "rings"]
    assert [entry.text for entry in by_dataset.rows[0].entries] == ["+", "?"]
    assert by_dataset.remarks[-1] == "+ supported, − contradicted, = tied, ? undecided."
    assert all("reduced scale" in grid.remarks[0] for grid in (claims, by_dataset))
    assert claims.remarks[-1] == f"T: FM-OT is fastest (s. 1). Undecided†: {found[0].summary}."


def test_the_source_of_the_tables_is_narrow_and_has_a_hole_without_an_effect() -> None:
    long = {"id": "C10b", "title": "x" * 99, "against": ["score_matching"]}
    rows = [
        row | {"baseline": {"ddpm": "score_matching"}.get(row["baseline"], row["baseline"])}
        for name in ("2spirals", "8gaussians", "checkerboard", "circles", "moons", "pinwheel", "rings", "swissroll")
        for row in runs(tuple(-effect for effect in LEAD), dataset=name)
    ]
    rows = [row | {"label": synthetic.LABELS[row["baseline"]]} for row in rows]
    named = [row | {"label": "A" * (10 + 30 * (row["baseline"] == "score_matching"))} for row in rows]
    found = [*judge(named, **long)[:1], *judge(rows, id="C2", against="rnode")[:1]]
    assert [verdict.word for verdict in found] == ["contradicted", "undecided"]
    text = document("Claims", claim_tables(found))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert 115 < max(map(len, lines)) <= 120
    assert f"| C10b {'x' * 27}… | contradicted† | " in text
    assert [entry.text for entry in claim_tables(found)[0].rows[1].entries] == ["–", "0 of 8"]


def test_the_short_titles_of_the_papers_claims_fit() -> None:
    for claim in of_papers():
        assert claim.short or len(claim.title) <= SHORT, claim.id


def test_claims_of_several_papers_say_whose_they_are() -> None:
    one, other = (judge(runs(LEAD), paper=paper)[0] for paper in ("liu2023_rectified_flow", "unknown2030"))
    assert claim_tables([one])[0].remarks[-1].startswith("T: FM-OT is fastest (s. 1). Supported†: ")
    assert [remark[:66] for remark in claim_tables([one, other])[0].remarks[-2:]] == [
        "T: FM-OT is fastest (Liu et al., ICLR 2023 (Rectified Flow), s. 1)",
        "T: FM-OT is fastest (unknown2030, s. 1). Supported†: Sampling NFE:",
    ]


def test_every_comparison_is_a_tidy_row() -> None:
    rows = tidy(judge([*runs(LEAD), *runs(NOISE, dataset="rings")])[:1])
    assert list(rows.dataset) == ["", "moons", "rings"]
    assert rows.pairs.tolist() == [10, 5, 5]
    assert rows.sets_below.tolist() == [2, 1, 1] and rows.sets.tolist() == [2, 1, 1]
    assert rows.margin.tolist() == pytest.approx([1.05] * 3) and rows.p_sets.isna().all()
    assert rows.improvement.tolist() == pytest.approx([0.8, 1.0, 0.6])
    assert rows["mean"][1] == pytest.approx(math.exp(sum(LEAD) / 5))
    missing = tidy(judge(runs(LEAD), against=["rnode"]))
    assert missing.missing[0] == "no finished run of rnode"
    assert set(tidy(judge(runs(LEAD), paper="lipman2023")).paper) == {"lipman2023"}


def drawn(values: dict[str, dict[int, float]], dataset: str = "moons") -> list[dict[str, Any]]:
    """Sliced W2 of FM-OT and DDPM by samplers of one evaluation a step, three seeds apart by a percent."""
    rows = []
    for seed in range(3):
        for name, of_name in values.items():
            baseline, solver = name.split(" ")
            place = {"dataset": dataset, "baseline": baseline, "label": synthetic.LABELS[baseline], "seed": seed}
            place |= {"variant": f"{dataset}-{baseline}-0a1b2c", "metric": "sliced_w2", "stage": "sweep"}
            for nfe, value in of_name.items():
                ways = {"sampler": solver, "steps": nfe, "nfe": nfe}
                rows.append({**place, "value": value * 1.01 ** (seed * (baseline == "ddpm")), "settings": ways})
    return rows


def test_either_sides_evaluations_and_sampler_stand_in_the_verdict() -> None:
    asked = {"measure": "at", "metric": "quality"}
    rows = drawn({"fm_ot flow_map": {1: 0.1}, "ddpm ddim": {1: 2.0, 10: 0.2}})
    sides = {"subject_at": {"nfe": 1, "sampler": "flow_map"}, "against_at": {"nfe": 10, "sampler": "ddim"}}
    (verdict,) = judge(rows, **asked, **sides)
    assert verdict.word == "supported"
    assert verdict.summary.startswith("Sliced W₂ at 1 evaluation by flow_map against 10 by ddim: × 0.49")
    assert "against DDPM (3 of 3 seeds)" in verdict.summary
    rows += drawn({"fm_ot euler": {1: 0.3}, "ddpm euler": {8: 0.4}})
    (verdict,) = judge(rows, **asked, subject_at={"nfe": 1}, against_at={"nfe": 10}, paper="lipman2023")
    assert verdict.summary.startswith("Sliced W₂ at 1 evaluation against 10: × 0.49")
    assert "FM w/ OT by flow_map against DDPM by ddim" in verdict.summary
    assert verdict.effects[0].comparison == "FM w/ OT by flow_map against DDPM by ddim"


def test_a_claim_on_adaptive_solvers_is_judged_where_one_drew() -> None:
    asked: dict[str, Any] = {"measure": "at", "paper": "lipman2023"}
    asked |= {side: {"sampler": "adaptive"} for side in ("subject_at", "against_at")}
    (verdict,) = judge(runs(LEAD), **asked)
    assert verdict.summary.startswith("Sampling NFE by an adaptive solver: × 0.739 [0.722, 0.757] against DDPM")
    euler = {"sampler": "euler", "steps": 100, "batch": 2000, "weights": "ema"}
    assert judge(runs(LEAD, settings=euler), **asked) == []
    with pytest.raises(ValueError, match="takes no number of evaluations"):
        Claim(**{**FASTER, **asked, "subject_at": {"nfe": 8, "sampler": "adaptive"}})


def test_the_evaluations_that_were_spent_are_quoted() -> None:
    rows = drawn({"fm_ot euler": {2: 0.2, 4: 0.1}, "ddpm euler": {2: 2.0, 7: 0.5}})
    (verdict,) = judge(rows, measure="at", metric="quality", subject_at={"nfe": 7}, against_at={"nfe": 7})
    assert verdict.summary.startswith("Sliced W₂ at 4 evaluations against 7: × 0.19")


def test_a_papers_claim_is_judged_where_its_subject_meets_a_rival_in_its_stage() -> None:
    asked: dict[str, Any] = {"measure": "at", "metric": "quality", "paper": "lipman2023"}
    asked |= {"subject_at": {"nfe": 1}, "against_at": {"nfe": 1}}
    rows = drawn({"fm_ot flow_map": {1: 0.1}, "ddpm euler": {1: 2.0}})
    assert judge(rows, against="rnode", **asked) == []
    assert judge(rows, against=["ddpm", "rnode"], **asked) == []
    assert judge(runs(LEAD), **asked) == []
    # So does a sweep without so many evaluations.
    assert judge(rows, **{**asked, "subject_at": {"nfe": 2}}) == []
    (verdict,) = judge([*rows, *runs(LEAD, dataset="rings")], **asked)
    assert verdict.word == "supported" and "datasets" not in verdict.summary
    # A sampler that was not asked for leaves the claim out, and a run that has not ended does not.
    named = {**asked, "subject_at": {"nfe": 1, "sampler": "consistency"}}
    assert judge(rows, **named) == []
    failed = {"status": "failed", "metric": "", "settings": {}}
    (verdict,) = judge([row | (failed if row["baseline"] == "fm_ot" else {}) for row in rows], **named)
    assert verdict.summary.endswith("no finished run of fm_ot")
