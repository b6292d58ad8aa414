"""Suites that rerun a printed table have a run for each of its cells, at its protocol."""

from collections.abc import Iterable

import pytest

from bench.config.components import build_baseline
from bench.config.plan import plan
from bench.config.suite import Run, load_suite
from bench.papers.paper import known

(PAPER,) = (paper for paper in known() if paper.source == "tong2024b_sf2m")
SIGMA = {"icfm": 0.1, "sb_cfm": 1.0}
OTHERS = {"dsb", "dsbm_ipf", "dsbm_imf"}  # methods that nobody has here


def planned(suite: str) -> list[Run]:
    name, contents = load_suite(suite)
    return plan(name, contents)


def printed(run: Run) -> str:
    """The method as the paper's tables have it."""
    return next(
        (e.method for e in PAPER.equivalents if e.fits(run.baseline.name, run.baseline.options)), run.baseline.name
    )


def cells(runs: Iterable[Run]) -> dict[tuple[str, str], set[int]]:
    """Seeds by set and printed method."""
    found: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        dim = run.dataset.options.get("dim")
        name = run.dataset.name.removeprefix("sf2m_") + (f"_{dim}" if dim else "")
        found.setdefault((name, printed(run)), set()).add(run.seed)
    return found


@pytest.mark.parametrize(("suite", "table", "count"), [("tong2024", "table2", 52), ("tong2024_bridge", "bridge_", 6)])
def test_each_printed_cell_is_run_with_five_seeds(suite: str, table: str, count: int) -> None:
    numbers = [n for n in PAPER.rows if n.table.startswith(table) and n.method not in OTHERS]
    assert len(numbers) == count
    found = cells(planned(suite))
    assert {(number.dataset, number.method) for number in numbers} == set(found)
    assert all(seeds == {42, 43, 44, 45, 46} for seeds in found.values())


@pytest.mark.parametrize("suite", ["tong2024", "tong2024_bridge", "tong2024_variants"])
def test_the_protocol_is_that_of_the_paper(suite: str) -> None:
    for run in planned(suite):
        t, samples, options = run.training, run.evaluation.samples, run.baseline.options
        assert (t.steps, t.batch, t.lr, t.optimizer, t.weight_decay) == (1000 * 19, 512, 1e-3, "adamw", 1e-5)
        assert (t.ema, t.decay, t.warmup, t.clip, t.epochs) == (0, "constant", 0, None, True)
        assert t.keep == "best" or suite.endswith("variants")
        assert run.network.options == {"width": 64, "depth": 3, "activation": "selu"}
        assert run.dataset.options["seed"] == "run" and samples and samples.n == 10_000 and samples.path_rule == "left"
        if run.baseline.name in SIGMA:
            assert vars(build_baseline(run.baseline))["sigma"] == SIGMA[run.baseline.name]
        if run.baseline.name == "sf2m":  # 1 is that of the Gaussians, and a variant of its own on the sets
            is_one = suite == "tong2024_bridge" or (suite == "tong2024_variants" and t.keep == "best")
            assert options.get("sigma", 1.0) == (1.0 if is_one else 0.1)
        assert run.baseline.name != "fm_ot" or options == {"sigma_min": 0.1}
        if suite == "tong2024":
            assert samples.solver.method == "euler" and samples.solver.steps == 100 == samples.path_times - 1
            assert samples.w2_n == samples.path_n == 10_000
