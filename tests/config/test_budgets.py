"""Where methods are compared each has the same evaluations of the network in training, and no other budget."""

import pytest

from bench.config.plan import plan
from bench.config.suite import Run, load_suite

EQUAL = {
    "toys": 2_048_000, "images": 38_400, "quick": 768_000, "fewstep": 2_000_000, "generators": 2_000_000,
    "samplers": 1_536_000,
}  # fmt: skip


def by_dataset(suite: str) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in plan(*load_suite(suite), "small"):
        found.setdefault(run.dataset.name, []).append(run)
    return found


@pytest.mark.parametrize("suite", EQUAL)
def test_every_method_has_the_same_evaluations_and_no_other_budget(suite: str) -> None:
    found = by_dataset(suite)
    for dataset, runs in found.items():
        assert len({run.baseline.name for run in runs}) > 2, dataset
        budgets = {(run.training.evaluations, run.training.steps, run.training.seconds) for run in runs}
        assert len(budgets) == 1 and budgets.pop()[1:] == (None, None), dataset
    first = next(iter(found.values()))
    assert first[0].training.evaluations == EQUAL[suite]


# What a method keeps that was tuned with a bound of its own.
OWN_CLIP = {("generators", "gan", "checkerboard"), ("generators", "gan", "digits"), ("generators", "vae", "digits")}


@pytest.mark.parametrize("suite", EQUAL)
def test_the_rate_follows_the_share_of_the_budget_and_gradients_their_own_norm(suite: str) -> None:
    """Steps of unlike cost see one schedule, and losses of unlike units one clipping, never two at once."""
    for dataset, runs in by_dataset(suite).items():
        shares = {(run.training.warmup, run.training.warmup_share) for run in runs}
        assert len(shares) == 1 and shares.pop()[0] == 0
        for run in runs:
            own = (suite, run.baseline.name, dataset) in OWN_CLIP
            assert (run.training.clip, run.training.clip_relative) == ((1.0, None) if own else (None, 3.0))


@pytest.mark.parametrize("suite", ["toys", "images", "quick", "fewstep", "generators"])
def test_seconds_that_are_compared_are_those_of_each_run_alone(suite: str) -> None:
    assert not any(run.training.stack for runs in by_dataset(suite).values() for run in runs)


def test_seeds_are_those_that_references_have() -> None:
    assert {run.seed for run in by_dataset("toys")["moons"] if not run.trial} == {*range(10)}
    images = by_dataset("images")
    assert list(images) == ["digits", "mnist", "fashion_mnist"]
    assert all({run.seed for run in runs} == {*range(5)} for runs in images.values())
    assert all({run.baseline.name for run in runs} >= {"ot_cfm", "ffjord", "rnode"} for runs in images.values())
    repeats = {name: {run.evaluation.samples.repeats for run in runs} for name, runs in images.items()}
    assert repeats == {"digits": {3}, "mnist": {2}, "fashion_mnist": {2}}


def test_three_seeds_of_toys_run_untuned_as_well() -> None:
    for dataset, runs in by_dataset("toys").items():
        own = {(run.baseline.name, run.seed) for run in runs if run.tune is None and not run.trial}
        assert own == {(run.baseline.name, seed) for run in runs for seed in range(3)}, dataset


@pytest.mark.parametrize("suite", ["toys", "quick"])
def test_ddpm_is_sampled_by_a_tenth_of_its_steps_where_points_are(suite: str) -> None:
    runs = [run for run in by_dataset(suite)["checkerboard"] if run.baseline.name == "ddpm"]
    assert {run.baseline.options["ancestral_steps"] for run in runs} == {100}
