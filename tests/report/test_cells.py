import math
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.stats
import synthetic

from bench.report.cells import headline
from bench.report.sections import sections
from bench.report.tables import table
from bench.report.vocabulary import solver, words

ODE = {"sampler": "dopri5", "rtol": 1e-5, "atol": 1e-5, "batch": 500}
OTHER = {"variant": "cifar10-ddpm-0a1b2c", "baseline": "ddpm", "label": "DDPM"}


def test_seeds_are_averaged_and_repeats_within_a_run_are_not_seeds() -> None:
    rows = [{"seed": s, "value": v, "settings": ODE} for s, v in ((0, 1.0), (0, 3.0), (1, 4.0))]
    cell = headline(sections(synthetic.frame(*rows))).iloc[0]
    assert (cell["mean"], cell.n) == (3.0, 2)
    assert cell.run_ids == ("cifar10-fm_ot-0a1b2c-s0", "cifar10-fm_ot-0a1b2c-s1")


@pytest.mark.parametrize(
    ("stage", "metric", "key", "values"),
    [
        ("samples", "fid", "extractor", ("inception", "other")),
        ("samples", "kid", "split", ("train", "test")),
        ("samples", "fd_digits", "reference_n", (1000, 1437)),
        ("likelihood", "nll_bpd", "draws", (1, 50)),
        ("likelihood", "nll_bpd", "dequantisation", ("uniform", None)),
        ("likelihood", "nll_bpd", "divergence", ("exact", "hutchinson")),
        ("likelihood", "nll_nats", "rtol", (1e-5, 1e-3)),
        ("likelihood", "nll_nats", "solver", ("dopri5", "midpoint")),
        ("likelihood", "nll_nats", "solver", ("dopri5", "dormand_prince")),  # torchdiffeq's, and ours
        ("likelihood", "nfe_likelihood", "batch", (100, 200)),
        ("likelihood", "nll_nats", "a_key_of_the_future", (1, 2)),
    ],
)
def test_other_settings_are_another_column(stage: str, metric: str, key: str, values: tuple[object, object]) -> None:
    base = {"stage": stage, "metric": metric}
    first, second = ({**base, "settings": {**ODE, key: value}} for value in values)
    cells = headline(sections(synthetic.frame(first, {**second, **OTHER})))
    measured = cells[cells.n > 0]
    assert len(measured) == 2
    assert measured.settings.nunique() == 2


@pytest.mark.parametrize(("column", "values"), [("n", (1000, 50_000)), ("dataset_version", ("1", "2"))])
def test_other_sample_size_or_data_is_another_column_or_table(column: str, values: tuple[object, object]) -> None:
    cells = headline(sections(synthetic.frame({column: values[0]}, {column: values[1], **OTHER})))
    measured = cells[cells.n > 0]
    assert len(measured.drop_duplicates(["dataset_version", "settings"])) == 2


def test_seconds_of_other_devices_are_another_column_and_quality_is_not() -> None:
    rows = [{"metric": m, "settings": ODE} for m in ("sampling_seconds", "fid")]
    there = [{**row, **OTHER, "device": "cuda (NVIDIA H200)"} for row in rows]
    measured = headline(sections(synthetic.frame(*rows, *there))).query("n > 0")
    assert measured.groupby("metric").settings.nunique().to_dict() == {"fid": 1, "sampling_seconds": 2}


def test_how_samples_were_drawn_is_the_row() -> None:
    drawn = [ODE, {**ODE, "rtol": 1e-3, "atol": 1e-3}, {"sampler": "ddim-50"}, {"sampler": "euler", "steps": 100}]
    cells = headline(sections(synthetic.frame(*({"settings": s, "value": float(i)} for i, s in enumerate(drawn)))))
    rows = dict(zip(zip(cells.sampler, cells.batch, strict=True), cells["mean"], strict=True))
    assert rows == {
        ("dopri5 1e-5", "batch 500"): 0.0,
        ("dopri5 1e-3", "batch 500"): 1.0,
        ("ddim-50", ""): 2.0,
        ("euler, 100 steps", ""): 3.0,
    }
    assert cells.settings.nunique() == 1
    assert cells.is_headline.sum() == 1


@pytest.mark.slow
def test_holes_say_why(frame: pandas.DataFrame) -> None:
    cells = headline(sections(frame))
    holes = cells[(cells.n == 0) & (cells.dataset == "digits")]
    assert set(holes.hole[holes.metric == "nll_bpd"]) == {"failed in likelihood: dopri5: underflow in dt 0.0"}
    partly = cells[(cells.variant == "checkerboard-scoreflow-3f2a9c") & (cells.metric == "w2")].iloc[0]
    assert (partly.n, partly.planned) == (2, 3)


def test_a_run_without_any_record_is_a_row_of_holes() -> None:
    absent = {**OTHER, "status": "missing", "metric": "", "value": math.nan, "label": "ddpm", "dataset_version": None}
    stages = [{**absent, "stage": stage} for stage in ("train", "samples")]
    cells = headline(sections(synthetic.frame({"settings": ODE}, *stages)))
    row = cells[cells.baseline == "ddpm"].iloc[0]
    assert (row.n, row.hole, row.dataset_version) == (0, "missing: not run", "1")


def test_a_failed_training_explains_every_stage() -> None:
    dead = {**OTHER, "status": "failed", "error": "out of memory", "metric": "", "value": math.nan, "stage": "train"}
    after = {**OTHER, "status": "missing", "metric": "", "value": math.nan, "stage": "samples"}
    cells = headline(sections(synthetic.frame({"settings": ODE}, dead, after)))
    assert list(cells.hole[cells.baseline == "ddpm"]) == ["failed in train: out of memory"]


def test_a_stage_that_failed_explains_no_other() -> None:
    """Samples that are stale are so for a reason of their own, and those that were not run just that."""
    dead = {**OTHER, "status": "failed", "error": "out of memory", "metric": "", "value": math.nan}
    dead |= {"stage": "likelihood"}
    trained = {**OTHER, "stage": "train", "metric": "train_seconds", "value": 1.0, "settings": {}}
    for other, hole in ({"stale": "code changed"}, "stale: code changed"), ({"status": "missing"}, "missing: not run"):
        samples = {**OTHER, "stage": "samples", "settings": ODE, **other}
        (section,) = sections(synthetic.frame({"settings": ODE}, trained, dead, samples))
        cells = section.cells[(section.cells.baseline == "ddpm") & (section.cells.stage == "samples")]
        assert list(cells.hole) == [hole]
        assert [incident.stage for incident in section.incidents] == ["likelihood", "samples"]


@pytest.mark.slow
def test_floor_is_a_row_under_the_nll_of_its_points(frame: pandas.DataFrame) -> None:
    floors = headline(sections(frame)).query("baseline == 'floor'")
    assert set(floors.metric) == {"nll_nats"}
    assert len(floors) == 2  # one for each solver of the likelihood
    assert floors["mean"].tolist() == pytest.approx([math.log(32)] * 2)


@pytest.mark.slow
def test_curve_points_are_not_results(frame: pandas.DataFrame) -> None:
    cells = headline(sections(frame))
    assert set(cells.stage) == {"train", "likelihood", "samples"}


@pytest.mark.parametrize(("draws", "value"), [(50, 2.99), (20, 3.01), (1, 3.11)])
def test_published_bits_per_dim_of_the_same_k(draws: int, value: float) -> None:
    bpd = {"stage": "likelihood", "metric": "nll_bpd", "settings": {"draws": draws, "dequantisation": "uniform"}}
    cell = headline(sections(synthetic.frame(bpd))).iloc[0]
    assert cell.published == value
    assert cell.published_source.startswith("lipman2023 table")


def test_bits_per_dim_of_another_k_have_nothing_published_beside_them() -> None:
    bpd = {"stage": "likelihood", "metric": "nll_bpd", "settings": {"draws": 7, "dequantisation": "uniform"}}
    assert math.isnan(headline(sections(synthetic.frame(bpd))).iloc[0].published)


def test_a_smoke_run_has_nothing_published_beside_it() -> None:
    fid = {"stage": "samples", "metric": "fid", "settings": {"sampler": "dopri5", "rtol": 1e-5, "atol": 1e-5}}
    assert headline(sections(synthetic.frame(fid))).iloc[0].published == 6.35
    assert math.isnan(headline(sections(synthetic.frame({**fid, "protocol": "smoke"}))).iloc[0].published)


def test_what_as_many_data_score_is_a_row_where_as_many_were_measured() -> None:
    of_samples = {"extractor": "inception", "split": "train", "reference_n": 512}
    drawn = {"sampler": "dopri5", "rtol": 1e-5, "atol": 1e-5, "batch": 64, "weights": "ema"}
    samples = {"stage": "samples", "metric": "fid", "value": 40.0, "n": 256, "settings": {**of_samples, **drawn}}
    floor = {**samples, "metric": "fid_floor", "value": 9.0, "settings": {**of_samples, "floor_split": "test"}}
    cells = headline(sections(synthetic.frame(samples, floor)))
    assert list(cells.metric) == ["fid", "fid"] and list(cells.baseline) == ["floor", "fm_ot"]
    assert list(cells["mean"]) == [9.0, 40.0] and cells.label.iloc[0] == "Floor (as many data)"
    assert list(cells.of_fewer) == [0, 0]
    more = headline(sections(synthetic.frame(samples, {**floor, "n": 300})))
    assert list(more.baseline) == ["fm_ot"]


def test_where_fewer_data_are_fresh_the_floor_says_of_how_many_and_marks_nothing() -> None:
    row = {"metric": "w2", "value": 0.1, "settings": DRAWN}
    few = {"metric": "w2_floor", "value": 0.3, "stderr": 0.01, "n": 500, "settings": OF_FLOOR}
    frame = synthetic.frame(row, {**few, "value": 0.4, "n": 9}, few)
    cells = headline(sections(frame)).set_index("baseline")
    assert cells["mean"]["floor"] == 0.3 and cells.of_fewer["floor"] == 500 and not cells.at_floor.any()
    (section,) = sections(frame)
    found = section.scores("w2")
    assert found is not None and found.floor is None  # biased in n: no line of a figure
    quality, _ = table(section).grids
    assert quality.rows[-1].entries[-1].text == "0.30 ± 0.07 (of 500)"
    assert any(remark.startswith("Floor (of fewer): ") for remark in quality.remarks)


def test_a_section_of_which_nothing_was_measured_has_no_columns() -> None:
    dead = {"status": "failed", "error": "no GPU", "metric": "", "value": math.nan, "stage": "train"}
    assert headline(sections(synthetic.frame(dead))).empty


def test_a_density_of_the_models_own_is_named_in_words() -> None:
    assert words({"density": "own", "split": "test", "draws": 1}) == ["the model's own density", "test split"]
    assert words({"density": "bound"}) == ["a bound"] and words({"density": "exact"}) == ["exact density"]


OWN = {"density": "own", "batch": 1000, "split": "test", "weights": "ema", "draws": 1}
BY_ODE = {**synthetic.LIKELIHOOD, "divergence": "exact", "draws": 1}
BY_MIDPOINT = {**synthetic.MIDPOINT, "divergence": "hutchinson", "probes": 1, "draws": 1}


def likelihoods(*settings: dict[str, object], metric: str = "nll_nats") -> pandas.DataFrame:
    """Cells of a likelihood of each of several methods, under settings of its own."""
    rows = [
        {"stage": "likelihood", "metric": metric, "value": float(i), "settings": own, "variant": f"v{i}"}
        for i, own in enumerate(settings)
    ]
    return headline(sections(synthetic.frame(*rows))).query("n > 0")


def test_a_density_of_the_models_own_stands_in_the_columns_of_those_by_an_ode_and_says_so() -> None:
    cells = likelihoods(BY_ODE, BY_MIDPOINT, OWN)
    assert cells.settings.nunique() == 2
    assert cells["mean"][cells.own_density].tolist() == [2.0, 2.0]
    assert cells["mean"][~cells.own_density].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "change", [{"split": "train"}, {"draws": 20}, {"dequantisation": "uniform"}, {"labels": "test"}, {"batch": 10}]
)
def test_an_own_density_meets_nothing_that_is_of_something_else(change: dict[str, object]) -> None:
    for by_ode, own in ((BY_ODE, OWN | change), (BY_ODE | change, OWN)):
        assert likelihoods(by_ode, own).settings.nunique() == 2


def test_a_bound_never_meets_a_likelihood() -> None:
    bound = {"stage": "likelihood", "metric": "bound_nats", "settings": {**OWN, "density": "bound"}, "variant": "v1"}
    exact = {"stage": "likelihood", "metric": "nll_nats", "settings": BY_ODE, "variant": "v0"}
    cells = headline(sections(synthetic.frame(bound, exact))).query("n > 0")
    assert set(cells.metric) == {"bound_nats", "nll_nats"} and not cells.own_density.any()
    assert likelihoods(BY_ODE, {**OWN, "density": "bound"}).settings.nunique() == 2


def test_the_labels_that_a_number_is_given_are_named_in_words() -> None:
    assert words({"labels": "test"}) == ["given labels of the test split"]


OF_FLOOR = {"split": "test", "floor_split": "train", "repeats": 5}
DRAWN = {"sampler": "dopri5", "rtol": 1e-5, "atol": 1e-5, "batch": 64, "weights": "ema", "split": "test"}


def floored(
    floor: float, stderr: float | None, *values: float, metric: str = "w2", **settings: object
) -> pandas.DataFrame:
    """The cells of one seed a value beside what as many data score; "neither" is a metric without a direction."""
    facts = {"metric": metric, **({"title": "Neither", "group": "quality"} if metric == "neither" else {})}
    rows = [{**facts, "value": value, "seed": i, "settings": DRAWN} for i, value in enumerate(values)]
    of_data = {"metric": f"{metric}_floor", "value": floor, "stderr": stderr, "settings": {**OF_FLOOR, **settings}}
    return headline(sections(synthetic.frame(*rows, of_data))).set_index("baseline")


def test_a_floor_has_the_interval_of_one_more_set() -> None:
    floor = floored(0.2, 0.01, 0.4).loc["floor"]
    # Five values of deviation s = 0.01 sqrt 5; another one lies within 2.776445 s sqrt(1 + 1/5) of their mean.
    assert floor.half_width == pytest.approx(2.776445 * 0.01 * math.sqrt(5) * math.sqrt(1.2), rel=1e-6)
    assert floor["mean"] == 0.2 and floor.label == "Floor (as many data)" and not floor.at_floor


def test_sets_that_each_seed_draws_make_the_interval_of_a_floor() -> None:
    values = (0.691, 0.767, 0.753)

    def floor(values: tuple[float, ...], stderr: float | None, repeats: int) -> Any:
        row = {"metric": "w2", "value": 0.8, "settings": DRAWN}
        of_data = {"metric": "w2_floor", "stderr": stderr, "settings": {**OF_FLOOR, "repeats": repeats}}
        rows = [{**row, "seed": i} for i in range(len(values))]
        rows += [{**of_data, "seed": i, "value": value} for i, value in enumerate(values)]
        return headline(sections(synthetic.frame(*rows))).set_index("baseline").loc["floor"]

    # Of one set a seed: t_{.975, 2} s sqrt(1 + 1/3).
    s = float(np.std(values, ddof=1))
    found = floor(values, None, 1)
    assert found.half_width == pytest.approx(4.302653 * s * math.sqrt(4 / 3), rel=1e-6)
    assert found["mean"] == pytest.approx(0.737)
    # Of five a seed: both variances, b = s^2 over means and w = 5 .01^2 within.
    v = s**2 * 4 / 3, 4 * 0.01**2
    nu = sum(v) ** 2 / (v[0] ** 2 / 2 + v[1] ** 2 / 12)
    assert floor(values, 0.01, 5).half_width == pytest.approx(scipy.stats.t.ppf(0.975, nu) * math.sqrt(sum(v)))
    # Runs of equal floors are one.
    assert floor((0.2, 0.2, 0.2), 0.01, 5).half_width == floor((0.2,), 0.01, 5).half_width
    assert math.isnan(floor((0.2, 0.2), None, 1).half_width)


def test_a_floor_of_one_set_has_no_interval_and_no_value_is_at_it() -> None:
    cells = floored(0.2, 0.01, 0.2, repeats=1)  # whose standard error is the metric's own
    assert math.isnan(cells.half_width["floor"]) and not cells.at_floor.any()


@pytest.mark.parametrize(
    ("metric", "values", "is_at"),
    [
        ("w2", (0.1,), True),
        ("w2", (0.26,), True),
        ("w2", (0.25, 0.27), True),
        ("w2", (0.28,), False),
        ("recall", (0.14,), True),
        ("recall", (0.9,), True),
        ("recall", (0.12,), False),
        ("neither", (0.26,), True),
        ("neither", (0.12,), False),
        ("neither", (0.28,), False),
    ],
)
def test_a_mean_that_is_not_beyond_the_floor_s_interval_is_at_it(
    metric: str, values: tuple[float, ...], is_at: bool
) -> None:
    """The interval is 0.2 +- 0.068."""
    assert floored(0.2, 0.01, *values, metric=metric).at_floor["fm_ot"] == is_at


def test_the_interval_of_one_seed_is_that_of_its_repeats() -> None:
    row = {"metric": "w2", "value": 0.3, "stderr": 0.02, "settings": {**DRAWN, "repeats": 3}}
    (one,) = headline(sections(synthetic.frame(row))).itertuples()
    assert one.half_width == pytest.approx(4.302653 * 0.02, rel=1e-6) and (one.n, one.repeats) == (1, 3)
    (two,) = headline(sections(synthetic.frame(row, {**row, "seed": 1, "value": 0.4}))).itertuples()
    assert two.half_width == pytest.approx(12.7062 * 0.1 / 2, rel=1e-4) and two.n == 2
    (plain,) = headline(sections(synthetic.frame({**row, "settings": DRAWN}))).itertuples()
    assert math.isnan(plain.half_width)


def test_shares_of_one_clock_have_no_interval() -> None:
    row = {"stage": "train", "metric": "train_seconds", "value": 2.0}
    for shared in ({}, {"stacked": True}):
        rows = [{**row, "seed": seed, "settings": shared} for seed in range(3)]
        (cell,) = headline(sections(synthetic.frame(*rows))).itertuples()
        assert (cell.mean, cell.n, math.isnan(cell.half_width)) == (2.0, 3, bool(shared))


MADE = {"sampler": "made elsewhere", "options": {"count": 60_000, "files": 1, "sha256": "0a1b2c3d4e5f" * 5}}
FEATURES = {"extractor": "inception", "split": "train"}


def scores(model: dict[str, object], made: dict[str, object], **more: object) -> pandas.DataFrame:
    """Cells of the FID of a model's samples, and of those that were made elsewhere."""
    elsewhere = {"variant": "made", "baseline": "elsewhere-A", "label": "A", "network": "made elsewhere"}
    rows = [{"settings": model, "value": 2.0}, {"settings": made, "value": 1.0, **elsewhere, **more}]
    return headline(sections(synthetic.frame(*rows)))


@pytest.mark.parametrize("change", [{"weights": "ema"}, {"labels": "train"}, {"repeats": 5}, {"steps": 50}])
def test_what_was_made_elsewhere_meets_the_samples_of_any_model(change: dict[str, object]) -> None:
    cells = scores(ODE | FEATURES | change, MADE | FEATURES)
    assert cells.settings.nunique() == 1 and cells["mean"].tolist() == [2.0, 1.0] and cells.is_headline.all()
    assert cells.sampler.tolist()[1] == "made elsewhere"


@pytest.mark.parametrize("change", [{"extractor": "other"}, {"split": "test"}, {"kid_subsets": 3}])
def test_what_was_made_elsewhere_meets_nothing_that_was_scored_otherwise(change: dict[str, object]) -> None:
    assert scores(ODE | FEATURES, MADE | FEATURES | change).settings.nunique() == 2
    assert scores(ODE | FEATURES, MADE | FEATURES, n=999).settings.nunique() == 2


def test_a_table_says_what_was_made_elsewhere() -> None:
    rows = [
        {"settings": MADE | FEATURES, "network": "made elsewhere", "label": "A", "metric": m} for m in ("fid", "kid")
    ]
    (section,) = sections(synthetic.frame(*rows))
    remark = "A: made elsewhere (60,000 samples in 1 file, SHA-256 0a1b2c3d4e5f)."
    assert [remarks.count(remark) for remarks in (grid.remarks for grid in table(section).grids)] == [1, 1]
    assert table(sections(synthetic.frame({"settings": ODE}))[0]).section.elsewhere == {}


def test_steps_of_a_sampler_are_counted_in_words() -> None:
    names = [solver({"sampler": "unipc", "steps": steps}) for steps in (1, 8)]
    assert names == ["unipc, 1 step", "unipc, 8 steps"]
