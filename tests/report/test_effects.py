import math
from typing import Any

import pytest
import synthetic

from bench.papers.claims import Claim
from bench.report.effects import Comparison, Effects, comparisons
from bench.report.sections import sections

ODE = synthetic.ODE
PAIR = Comparison("fm_ot", "ddpm")


def of(baseline: str, seed: int, metric: str, value: float, **more: Any) -> dict[str, Any]:
    variant = f"moons-{baseline}-0a1b2c"
    fixed = {"dataset": "moons", "baseline": baseline, "label": synthetic.LABELS[baseline], "variant": variant}
    return {**fixed, "seed": seed, "metric": metric, "value": value, "settings": ODE, **more}


def effects(rows: list[dict[str, Any]], comparison: Comparison = PAIR, **claim: Any) -> dict[int, float]:
    (section,) = sections(synthetic.frame(*rows))
    asked = Claim(id="T", title="t", subject=comparison.subject, against=comparison.rival, **claim)
    found = Effects(asked, section).of(comparison)
    return {int(str(seed)): float(value) for seed, value in found.dropna().items()}


def of_pair(rows: list[dict[str, Any]], **claim: Any) -> Effects:
    (section,) = sections(synthetic.frame(*rows))
    return Effects(Claim(id="T", title="t", subject="fm_ot", against="ddpm", **claim), section)


def spread(rows: list[dict[str, Any]], **claim: Any) -> float:
    return of_pair(rows, measure="spread", **claim).spread(PAIR)


def on_curve(baseline: str, metric: str, points: list[tuple[int, float, float]], seed: int = 0) -> list[dict[str, Any]]:
    """Points of (step, seconds, value)."""
    return [
        of(baseline, seed, metric, value, stage="train", n=500,
           settings={"curve": True, "step": step, "train_seconds": seconds, "nfe_training": 10 * step})
        for step, seconds, value in points
    ]  # fmt: skip


def in_sweep(baseline: str, metric: str, solver: str, values: dict[int, float], seed: int = 0) -> list[dict[str, Any]]:
    return [
        of(baseline, seed, metric, value, stage="sweep", settings={"sampler": solver, "steps": 1, "nfe": nfe})
        for nfe, value in values.items()
    ]


def test_likelihoods_differ_seed_by_seed_and_lone_seeds_are_left_out() -> None:
    said = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}
    rows = [of("fm_ot", s, "nll_nats", 3.5 + s, **said) for s in (0, 1, 2)]
    rows += [of("ddpm", s, "nll_nats", 3.6 + 2 * s, **said) for s in (1, 2, 3)]
    assert effects(rows) == pytest.approx({1: -1.1, 2: -2.1})


def test_other_metrics_have_log_ratios() -> None:
    rows = [of("fm_ot", 0, "nfe_sampling", 50.0), of("ddpm", 0, "nfe_sampling", 200.0)]
    assert effects(rows, metric="nfe_sampling") == pytest.approx({0: -math.log(4)})


def test_more_is_better_turns_the_sign() -> None:
    rows = [of("fm_ot", 0, "recall", 0.8), of("ddpm", 0, "recall", 0.4)]
    assert effects(rows, metric="recall") == pytest.approx({0: -math.log(2)})


def test_quality_is_whatever_distance_the_data_has() -> None:
    rows = [of("fm_ot", 0, "w2", 0.2), of("ddpm", 0, "w2", 0.4)]
    assert effects(rows, metric="quality") == pytest.approx({0: -math.log(2)})
    assert effects([of("fm_ot", 0, "nfe_sampling", 1.0), of("ddpm", 0, "nfe_sampling", 1.0)], metric="quality") == {}


def test_native_samplers_are_not_the_methods_row() -> None:
    native = {"sampler": "ddim-50", "batch": 2000, "weights": "ema"}
    rows = [of("fm_ot", 0, "w2", 0.2), of("ddpm", 0, "w2", 0.4), of("ddpm", 0, "w2", 9.0, settings=native)]
    assert effects(rows, metric="w2") == pytest.approx({0: -math.log(2)})


def test_a_model_without_an_ode_is_compared_by_its_first_sampler() -> None:
    own = {"sampler": "generator", "batch": 2000, "weights": "ema"}
    rows = [of("fm_ot", 0, "w2", 0.2, settings=own), of("ddpm", 0, "w2", 0.4)]
    assert effects(rows, metric="w2") == pytest.approx({0: -math.log(2)})


def test_a_spread_of_what_should_be_high_should_be_low_too() -> None:
    rows = [of("fm_ot", s, "recall", v) for s, v in enumerate((0.4, 0.5, 0.6))]
    rows += [of("ddpm", s, "recall", v) for s, v in enumerate((0.2, 0.5, 0.8))]
    assert spread(rows, metric="recall") == pytest.approx(math.log(0.1 / 0.3))


def test_more_draws_go_before_fewer() -> None:
    rows = [
        of(b, 0, "nll_bpd", value - 0.1 * k, stage="likelihood", settings={**synthetic.LIKELIHOOD, "draws": k})
        for b, value in (("fm_ot", 3.0), ("ddpm", 3.2))
        for k in (1, 5)
    ]
    rows[-1]["value"] = 9.0
    assert effects(rows) == pytest.approx({0: 2.5 - 9.0})


def test_spread_is_the_ratio_of_standard_deviations_over_seeds() -> None:
    said = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}
    rows = [of("fm_ot", s, "nll_nats", v, **said) for s, v in enumerate((3.0, 3.1, 3.2))]
    rows += [of("ddpm", s, "nll_nats", v, **said) for s, v in enumerate((-3.0, -3.6, -3.6))]
    assert spread(rows) == pytest.approx(math.log(0.1 / (0.6 / 3**0.5)))
    # Only of seeds that both have: those without a likelihood of a side are left to `of`, which is NaN for them.
    rows[-1]["value"] = math.nan
    assert spread(rows) == pytest.approx(math.log((0.1 / 2**0.5) / (0.6 / 2**0.5)))
    # Runs that end alike have none to compare.
    assert math.isnan(spread([{**row, "value": 3.0} for row in rows]))


def test_variation_leaves_the_first_eighth_out() -> None:
    rows = on_curve("fm_ot", "nfe_sampling", [(100, 1, 500.0), (500, 2, 40.0), (1000, 3, 50.0)])
    rows += on_curve("ddpm", "nfe_sampling", [(100, 1, 20.0), (500, 2, 100.0), (1000, 3, 50.0)])
    found = effects(rows, metric="nfe_sampling", measure="variation")
    assert found == pytest.approx({0: math.log(1.25) - math.log(2)})


def test_few_is_the_geometric_mean_over_the_named_evaluations() -> None:
    rows = in_sweep("fm_ot", "w2", "euler", {4: 1.0, 8: 4.0, 100: 99.0})
    rows += in_sweep("ddpm", "w2", "euler", {4: 2.0, 8: 8.0, 100: 1e-9}) + in_sweep("ddpm", "w2", "rk4", {4: 77.0})
    found = effects(rows, Comparison("fm_ot", "ddpm", "euler"), metric="quality", measure="few", nfe=(4, 8))
    assert found == pytest.approx({0: -math.log(2)})


def test_a_second_order_solver_with_a_quarter_of_the_error_needs_half_the_evaluations() -> None:
    errors = {nfe: 16.0 / nfe**2 for nfe in (4, 8, 16, 32, 64)}
    rows = in_sweep("fm_ot", "ode_error", "midpoint", {nfe: error / 4 for nfe, error in errors.items()})
    rows += in_sweep("ddpm", "ode_error", "midpoint", errors)
    assert effects(rows, metric="ode_error", measure="to_error") == pytest.approx({0: -math.log(2)})


def test_errors_that_do_not_overlap_are_not_compared() -> None:
    rows = in_sweep("fm_ot", "ode_error", "midpoint", {4: 1e-9, 8: 1e-10})
    rows += in_sweep("ddpm", "ode_error", "midpoint", {4: 1.0, 8: 0.1})
    assert effects(rows, metric="ode_error", measure="to_error") == {}


def test_time_to_the_worse_of_both_final_values() -> None:
    rows = on_curve("fm_ot", "nll_nats", [(10, 1.0, 5.0), (100, 10.0, 4.0), (1000, 100.0, 3.0)])
    rows += on_curve("ddpm", "nll_nats", [(10, 50.0, 6.0), (100, 500.0, 4.0)])
    # FM reaches 4.0 after 10 seconds, its rival after 500.
    assert effects(rows, measure="to_target", over="train_seconds") == pytest.approx({0: math.log(10 / 500)})
    assert effects(rows, measure="to_target", over="step") == pytest.approx({0: 0.0})
    # The other way round the subject is the slow one.
    back = effects(rows, Comparison("ddpm", "fm_ot"), measure="to_target", over="train_seconds")
    assert back == pytest.approx({0: math.log(500 / 10)})


def test_of_several_planned_variants_none_stands_for_its_baseline() -> None:
    rows = [of(b, s, "nfe_sampling", v) for s in (0, 1) for b, v in (("fm_ot", 50.0), ("ddpm", 100.0))]
    rows.append({**of("fm_ot", 0, "nfe_sampling", 7.0), "variant": "moons-fm_ot-ffffff"})
    assert effects(rows, metric="nfe_sampling") == {}


def test_evaluations_that_one_side_lacks_are_left_out_of_both() -> None:
    rows = in_sweep("fm_ot", "w2", "euler", {4: 1.0, 8: 4.0}) + in_sweep("ddpm", "w2", "euler", {4: 2.0})
    found = effects(rows, Comparison("fm_ot", "ddpm", "euler"), metric="quality", measure="few")
    assert found == pytest.approx({0: -math.log(2)})


def test_distances_of_another_number_of_samples_are_not_compared() -> None:
    rows = in_sweep("fm_ot", "w2", "euler", {4: 1.0, 8: 4.0}) + in_sweep("ddpm", "w2", "euler", {4: 2.0})
    rows[-1]["n"] = 50
    assert effects(rows, Comparison("fm_ot", "ddpm", "euler"), metric="quality", measure="few") == {}


def test_evaluations_in_training_are_counted_by_sample() -> None:
    rows = on_curve("fm_ot", "nll_nats", [(100, 1.0, 3.0)]) + on_curve("ddpm", "nll_nats", [(100, 1.0, 3.0)])
    rows[0]["global_batch"], rows[1]["global_batch"] = 512, 256
    assert effects(rows, measure="to_target", over="nfe_training") == pytest.approx({0: math.log(2)})


def test_the_probability_of_improvement_is_of_runs_of_any_two_seeds() -> None:
    rows = [of("fm_ot", s, "w2", v) for s, v in enumerate((0.1, 0.3, 0.5))]
    rows += [of("ddpm", s, "w2", v) for s, v in enumerate((0.3, 0.2, 0.2))]
    # 0.1 is below three, 0.3 level with one, 0.5 below none.
    assert of_pair(rows, metric="w2").improvement(PAIR) == pytest.approx((3 + 0.5) / 9)
    assert of_pair(rows, metric="w2", bound=1.6).improvement(PAIR) == pytest.approx((3 + 3 + 0) / 9)
    turned = [{**row, "metric": "recall"} for row in rows]
    assert of_pair(turned, metric="recall").improvement(PAIR) == pytest.approx(1 - 3.5 / 9)
    said = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}
    nats = [{**row, "metric": "nll_nats", "value": row["value"] - 3, **said} for row in rows]
    assert of_pair(nats).improvement(PAIR) == pytest.approx(3.5 / 9)
    assert of_pair(nats, bound=0.25).improvement(PAIR) == pytest.approx((3 + 3 + 1) / 9)


def test_the_probability_at_few_evaluations_is_of_means_over_those_that_all_have() -> None:
    rows = [row for s, v in enumerate((1.0, 3.0)) for row in in_sweep("fm_ot", "w2", "euler", {4: v, 8: v}, s)]
    rows += [row for s in (0, 1) for row in in_sweep("ddpm", "w2", "euler", {4: 1.0, 8: 4.0, 10: 1e-9}, s)]
    by_euler = Comparison("fm_ot", "ddpm", "euler")
    found = of_pair(rows, metric="quality", measure="few", nfe=(4, 8, 10))
    assert found.improvement(by_euler) == pytest.approx(0.5)  # 1 and 3 beside a geometric mean of 2
    curve = on_curve("fm_ot", "nfe_sampling", [(100, 1, 9.0), (500, 2, 40.0), (1000, 3, 50.0)])
    curve += on_curve("ddpm", "nfe_sampling", [(100, 1, 20.0), (500, 2, 100.0), (1000, 3, 50.0)])
    assert of_pair(curve, metric="nfe_sampling", measure="variation").improvement(PAIR) == 1.0
    assert math.isnan(of_pair(curve, measure="to_target", metric="nfe_sampling").improvement(PAIR))


def test_margins_are_a_hundredth_of_a_nat_a_percent_of_bits_and_a_ratio() -> None:
    said = {"stage": "likelihood", "settings": synthetic.LIKELIHOOD}
    nats = [of(b, s, "nll_nats", 3.0 + s, **said) for b in ("fm_ot", "ddpm") for s in (0, 1)]
    bits = [{**row, "metric": "nll_bpd"} for row in nats]
    assert of_pair(nats).margin(PAIR) == 0.01
    assert of_pair(bits).margin(PAIR) == pytest.approx(0.035)
    assert of_pair(bits, margin=0.2).margin(PAIR) == 0.2
    assert of_pair(nats, scale="ratio").margin(PAIR) == pytest.approx(math.log(1.05))
    assert of_pair(nats, scale="ratio", margin=1.2).margin(PAIR) == pytest.approx(math.log(1.2))
    assert math.isnan(of_pair(nats, bound=0.1).margin(PAIR))  # which is a margin itself
    others = [of(b, 0, "w2", 0.2) for b in ("fm_ot", "ddpm")]
    assert math.isnan(of_pair(others, metric="w2", scale="difference").margin(PAIR))


def test_every_subject_meets_every_rival_under_every_condition() -> None:
    claim = Claim(
        id="T", title="t", subject=["a", "b"], against=["b", "c"], metric="w2", measure="few", solvers=("euler", "rk4")
    )
    assert len(comparisons(claim)) == 2 * 2 * 2 - 2  # b does not meet itself


def swept(baseline: str, solver: str, values: dict[int, float], seed: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Quality by a fixed-step sampler that costs an evaluation a step."""
    ways = {nfe: {"sampler": solver, "steps": nfe, "nfe": nfe} for nfe in values}
    return [of(baseline, seed, "w2", value, stage="sweep", settings=ways[nfe], **more) for nfe, value in values.items()]


AT: dict[str, Any] = {"metric": "quality", "measure": "at"}


def test_at_takes_either_side_at_its_own_evaluations_and_sampler() -> None:
    rows = swept("fm_ot", "flow_map", {1: 2.0, 10: 7.0}) + swept("fm_ot", "euler", {1: 0.1})
    rows += swept("ddpm", "ddim", {1: 9.0, 10: 8.0}) + swept("ddpm", "euler", {10: 0.1})
    sides = {"subject_at": {"nfe": 1, "sampler": "flow_map"}, "against_at": {"nfe": 10, "sampler": "ddim"}}
    assert effects(rows, **AT, **sides) == pytest.approx({0: math.log(2 / 8)})


def test_at_without_a_sampler_takes_the_best_mean_over_seeds_of_the_most_evaluations_within() -> None:
    rows = []
    for seed, (euler, midpoint) in enumerate([(3.0, 4.0), (4.0, 1.0)]):
        rows += swept("fm_ot", "euler", {3: euler}, seed) + swept("fm_ot", "midpoint", {2: midpoint}, seed)
        rows += swept("ddpm", "ddim", {1: 99.0, 2: 10.0, 4: 8.0, 5: 0.1}, seed)
    # Of fm_ot midpoint has the better mean, although not for seed 0.
    found = effects(rows, **AT, subject_at={"nfe": 3}, against_at={"nfe": 4})
    assert found == pytest.approx({0: math.log(4 / 8), 1: math.log(1 / 8)})


def test_at_has_no_place_for_what_spends_no_more_than_half_of_its_evaluations() -> None:
    rows = swept("fm_ot", "euler", {1: 2.0}) + swept("ddpm", "euler", {4: 1.0, 9: 1.0})
    assert effects(rows, **AT, subject_at={"nfe": 1}, against_at={"nfe": 8}) == {}
    assert effects(rows, **AT, subject_at={"nfe": 1}, against_at={"nfe": 7}) == pytest.approx({0: math.log(2)})


def test_at_of_a_sampler_that_a_method_has_not_is_nothing() -> None:
    rows = swept("fm_ot", "euler", {1: 2.0}) + swept("ddpm", "euler", {1: 1.0})
    assert effects(rows, **AT, subject_at={"nfe": 1, "sampler": "flow_map"}, against_at={"nfe": 1}) == {}


def test_at_of_a_seed_that_was_lost_there_is_no_number_and_another_sampler_goes_before() -> None:
    rows = [row for seed in (0, 1) for row in swept("fm_ot", "euler", {1: 2.0}, seed)]
    rows += [row for seed in (0, 1) for row in swept("ddpm", "ddim", {1: 1.0 if seed else math.nan}, seed)]
    asked = {"subject_at": {"nfe": 1}, "against_at": {"nfe": 1}}
    assert effects(rows, **AT, **asked) == pytest.approx({1: math.log(2)})
    (section,) = sections(synthetic.frame(*rows))
    claim = Claim(id="T", title="t", subject="fm_ot", against="ddpm", **AT, **asked)
    assert math.isnan(Effects(claim, section).of(PAIR)[0])
    rows += [row for seed in (0, 1) for row in swept("ddpm", "euler", {1: 4.0}, seed)]
    assert effects(rows, **AT, **asked) == pytest.approx(dict.fromkeys((0, 1), math.log(2 / 4)))


def test_at_may_set_a_method_beside_itself() -> None:
    rows = swept("fm_ot", "euler", {1: 4.0, 2: 1.0})
    both = Comparison("fm_ot", "fm_ot")
    assert effects(rows, both, **AT, subject_at={"nfe": 2}, against_at={"nfe": 1}) == pytest.approx({0: -math.log(4)})


def test_at_without_evaluations_is_of_the_samples_by_their_sampler() -> None:
    rows = [
        of("fm_ot", 0, "recall", value, settings={**ODE, "sampler": name, "solver": None})
        for name, value in (("dopri5", 0.8), ("dopri5-guidance2", 0.4))
    ]
    sides = {"subject_at": {"sampler": "dopri5"}, "against_at": {"sampler": "dopri5-guidance2"}}
    claim = {"metric": "recall", "measure": "at", **sides}
    assert effects(rows, Comparison("fm_ot", "fm_ot"), **claim) == pytest.approx({0: -math.log(2)})


def test_distances_without_bias_differ_even_below_0() -> None:
    rows = [of("fm_ot", 0, "energy_distance", -1e-4), of("ddpm", 0, "energy_distance", 3e-4)]
    assert effects(rows, metric="energy_distance", scale="difference") == pytest.approx({0: -4e-4})
    assert effects(rows, metric="energy_distance") == {}


def test_a_claim_of_the_frechet_distance_takes_that_of_inception_or_the_first() -> None:
    rows = [of("fm_ot", 0, "fd_digits_cnn", 0.2), of("ddpm", 0, "fd_digits_cnn", 0.4)]
    rows += [of("fm_ot", 0, "fd_dinov2", 9.0), of("ddpm", 0, "fd_dinov2", 1.0)]
    assert effects(rows, metric="frechet") == pytest.approx({0: -math.log(2)})
    rows += [of("fm_ot", 0, "fid", 8.0), of("ddpm", 0, "fid", 2.0)]
    assert effects(rows, metric="frechet") == pytest.approx({0: math.log(4)})


def test_a_claim_is_planned_where_its_metric_is_for_the_data() -> None:
    """Not on images if it is about points, nor where no run could measure it; on runs that have not ended it may be."""
    ended = [of("fm_ot", 0, "w2", 0.1), of("ddpm", 0, "w2", 0.1)]
    why = "not applicable: the density of pinwheel is not known"
    unknown = [of(side, 0, "low_density", math.nan, reason=why) for side in ("fm_ot", "ddpm")]
    lost = [of("fm_ot", 0, "low_density", math.nan, reason="1 of 9 samples are not finite")]
    asked = {"metric": "low_density", "scale": "difference"}
    assert not of_pair(ended, **asked).is_planned and not of_pair(ended, metric="frechet").is_planned
    assert not of_pair([*ended, *unknown], **asked).is_planned
    assert of_pair([*ended, *lost], **asked).is_planned and of_pair(ended, metric="w2").is_planned
    going = [row | {"stage": "train", "metric": "steps"} for row in ended]
    assert of_pair(going, **asked).is_planned
