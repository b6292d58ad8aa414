"""Random numbers that belong to a sample."""

import ast
from pathlib import Path

import pytest
import torch

from bench.config.settings import Component
from bench.training import seeds
from bench.training.seeds import STREAMS, generator, is_taken, normal, on_dataset, per_sample


def test_a_draw_depends_on_its_index_alone() -> None:
    whole = normal((2, 3), 1, "samples", 0, 10)
    parts = torch.cat([normal((2, 3), 1, "samples", a, b) for a, b in ((0, 4), (4, 5), (5, 10))])
    assert torch.equal(whole, parts)


def test_seed_stream_and_index_all_matter() -> None:
    draws = [
        torch.randn(4, generator=generator(seed, stream, index))
        for seed in (0, 1)
        for stream in ("samples", "probe-0")
        for index in (0, 1)
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert not torch.equal(a, b)
    # The three are kept apart by more than concatenation.
    assert not torch.equal(
        torch.rand(4, generator=generator(1, "a", 12)), torch.rand(4, generator=generator(1, "a1", 2))
    )


def test_the_streams_of_a_run_are_of_its_seed_and_its_dataset_with_all_options() -> None:
    components = [
        Component(name="moons"),
        Component(name="rings"),
        Component(name="moons", options={"noise": 0.1}),
        Component(name="moons", options={"noise": 0.2}),
    ]
    assert len({on_dataset(seed, component) for seed in (0, 1) for component in components}) == 8
    either = ({"noise": 0.1, "n_train": 9}, {"n_train": 9, "noise": 0.1})
    assert len({on_dataset(0, Component(name="moons", options=options)) for options in either}) == 1


def test_streams_have_names_that_no_sampler_may_have() -> None:
    """Every stream that the sources name begins with one of them, or is that of a sampler."""
    named = set()
    for path in (Path(__file__).parents[2] / "bench").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) in (
                "generator",
                "number",
                "normal",
                "per_sample",
                "begin_draws",
            ):
                texts = [a.values[0] if isinstance(a, ast.JoinedStr) else a for a in call.args]
                named |= {a.value.partition("-")[0] for a in texts if isinstance(getattr(a, "value", None), str)}
    before = {"minibatch", "dequantise"}  # which are named before they are asked for
    assert named == {*STREAMS} - before
    assert all(map(is_taken, ("samples", "probe-0", "metric-w2", "minibatch-1"))) and not is_taken("ddim-50")


def test_draws_do_not_touch_the_global_state() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    normal((2,), 0, "samples", 0, 5)
    assert torch.equal(torch.rand(3), expected)


def test_neighbouring_draws_are_independent_normals() -> None:
    x = normal((2,), 0, "samples", 0, 5000).double()
    assert (x.mean(0).abs() < 4 / 5000**0.5).all()
    assert ((x.var(0) - 1).abs() < 4 * (2 / 5000) ** 0.5).all()
    assert abs(float((x[1:] * x[:-1]).mean())) < 4 / 10_000**0.5


def test_the_numbers_are_the_same_on_every_machine() -> None:
    """A change of these breaks the comparison with every record measured before."""
    assert generator(0, "samples", 0).initial_seed() == 5432779184042162921
    assert generator(3, "samples", 17).initial_seed() == 5825243709220201178
    assert on_dataset(0, Component(name="moons")) == 6486882654136162510
    assert normal((1,), 0, "samples", 0, 1).item() == pytest.approx(0.30242684483528137, rel=1e-6)


def test_per_sample_stacks_what_is_drawn() -> None:
    x = per_sample(lambda g: torch.randint(0, 9, (3,), generator=g), 0, "s", 2, 6)
    assert x.shape == (4, 3) and x.dtype == torch.int64


@pytest.mark.parametrize("shape", [(), (2,), (17,), (1, 3, 3)])
def test_noise_is_drawn_sample_by_sample_and_nobody_changes_anothers(shape: tuple[int, ...]) -> None:
    expected = torch.stack([torch.randn(shape, generator=generator(3, "samples", i)) for i in range(2, 9)])
    first = normal(shape, 3, "samples", 2, 9)
    assert torch.equal(first, expected)
    first.zero_()
    assert torch.equal(normal(shape, 3, "samples", 2, 9), expected)


def test_much_noise_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "KEPT", 9)
    before = seeds._normal.cache_info().misses
    assert torch.equal(normal((2,), 4, "samples", 0, 5)[:4], normal((2,), 4, "samples", 0, 4))
    assert seeds._normal.cache_info().misses == before + 1


def test_noise_has_the_default_type_of_whoever_asks() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        double = normal((2,), 5, "samples", 0, 4)
    finally:
        torch.set_default_dtype(torch.float32)
    single = normal([2], 5, "samples", 0, 4)
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    assert torch.equal(single, normal((2,), 5, "samples", 0, 4))
