"""What a decorator is told is checked where it stands: one line, and nothing is registered."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import bench
from bench import (
    DiffusionBaseline,
    Facts,
    FlowBaseline,
    Sampler,
    UsageError,
    register_baseline,
    register_dataset,
    register_figure,
    register_metric,
    register_network,
    register_sampler,
)
from bench.config.registry import SEVEN, Registry, baselines, claims, load_plugin, metrics, papers
from bench.metrics.metric import Metric
from bench.papers.claims import own

pytestmark = pytest.mark.usefixtures("own_entries")


def sampler(**attributes: Any) -> type[Any]:
    return type("Mine", (Sampler,), {"sample": lambda self, model, x0, rng: x0, **attributes})


def metric(**told: Any) -> Callable[[], object]:
    return lambda: register_metric("mine", **{"title": "Mine", **told})(lambda *_: 0.0)


def baseline(**attributes: Any) -> type[Any]:
    return type("Mine", (FlowBaseline,), {"loss": print, "velocity": print, **attributes})


OPTION = {"__annotations__": {"weight": float, "CONSTANT": ClassVar[int]}, "weight": 1.0}
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a metric without parentheses": (lambda: register_metric(print), "register_metric: its first argument is a name"),  # type: ignore[arg-type]
    "a dataset without them": (lambda: register_dataset(print), "register_dataset: its first argument is a name"),  # type: ignore[arg-type]
    "a network without them": (lambda: register_network(print), "register_network: its first argument is a name"),  # type: ignore[arg-type]
    "a sampler without them": (lambda: register_sampler(Sampler), "register_sampler: its first argument is a name"),  # type: ignore[arg-type]
    "a figure without them": (lambda: register_figure(print, "x"), "register_figure: its first argument is a name"),  # type: ignore[arg-type]
    "a baseline without them": (lambda: register_baseline(FlowBaseline, "x"), "register_baseline: its first"),  # type: ignore[arg-type]
    "needs": (metric(needs="sample"), "metric 'mine': needs = 'sample': allowed are 'samples', 'features'"),
    "data": (metric(data="image"), "metric 'mine': data = 'image': allowed are 'points', 'images', 'any'"),
    "direction": (metric(direction="up"), "metric 'mine': direction = 'up': allowed are 'lower', 'higher', ''"),
    "group": (metric(group="qualty"), "metric 'mine': group = 'qualty': allowed are 'quality', 'likelihood'"),
    "limit": (metric(limit="w2n"), "metric 'mine': limit = 'w2n': allowed are '', .*'w2_n'"),
    "a limit that may be unset": (metric(limit="reference_n"), "allowed are '', 'w2_n', 'path_n'$"),
    "a limit of none": (metric(limit=0), "metric 'mine': limit = 0: a number of samples, from 1 up"),
    "a limit that is no number": (metric(limit=True), "metric 'mine': limit = True: a number of samples"),
    "least": (metric(least=1.5), "metric 'mine': least = 1.5: a number of samples, from 1 up"),
    "needs of images": (metric(needs_of_images="pixels"), "metric 'mine': needs_of_images = 'pixels': allowed are"),
    "settings": (metric(settings={"a": 1}), "metric 'mine': settings = {'a': 1}: expected a function"),
    "a number of another": (metric(facts={"fid": Facts("FID")}), "metric 'mine': 'fid' is a number of metric 'fid'"),
    "no capability": (lambda: register_sampler("mine")(sampler(needs=("scores",))), r"needs = \('scores',\): expected"),
    "needs in a text": (lambda: register_sampler("mine")(sampler(needs="score")), "sampler 'mine': needs = 'score'"),
    "an option of no dataclass": (
        lambda: register_sampler("mine")(sampler(**OPTION)),
        r"sampler 'mine': option weight is in a class without @dataclass\(frozen=True\)",
    ),
    "an option of a baseline": (
        lambda: register_baseline("mine", "x")(baseline(**OPTION)),
        r"baseline 'mine': option weight is in a class without @dataclass\(frozen=True\)",
    ),
    "a flow of noise without its velocity": (
        lambda: register_baseline("mine", "x")(baseline(velocity=FlowBaseline.velocity, eps=print)),
        "baseline 'mine': Mine has its own eps but no velocity, which would be what the network gives; say it, too$",
    ),
    "a flow of data without its velocity": (
        lambda: register_baseline("mine", "x")(
            type("Mine", (DiffusionBaseline,), {"loss": print, "data": print, "score": print})
        ),
        "baseline 'mine': Mine has its own data but no velocity",
    ),
    "an option of a base": (
        lambda: register_sampler("mine")(dataclass(frozen=True)(type("Mine", (sampler(**OPTION),), {}))),
        r"sampler 'mine': option weight is in a class without @dataclass\(frozen=True\)",
    ),
    "metrics in a text": (lambda: register_figure("mine", "x", metrics="w2"), "figure 'mine': metrics = 'w2'"),
    "arrays of two stages": (
        lambda: register_figure("mine", "x", {"samples": 2, "log_densities": 3}),
        "figure 'mine': arrays of likelihood and samples: all are of one stage",
    ),
    "no function": (lambda: register_figure("mine", "x")(3), "figure 'mine': 3 is no function of FigureData"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_at_its_registration(what: str) -> None:
    register, message = REFUSED[what]
    with pytest.raises(UsageError, match=f"^.*{message}") as caught:
        register()
    assert "\n" not in str(caught.value) and not any("mine" in registry for registry in SEVEN)


def test_a_number_by_extractor_may_have_a_name_of_several_words() -> None:
    mine = Metric("mine", {"my_fd_": Facts("FD")})
    assert mine.numbers("two_layers") == ["my_fd_two_layers"]
    found = mine.facts_of("my_fd_two_layers")
    assert found and found.title == "FD two-layers" and mine.facts_of("fd_two_layers") is None


def test_a_name_of_the_projects_is_no_plugins_and_both_places_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from bench import FlowBaseline, register_baseline\n"
        "class Mine(FlowBaseline):\n    loss = velocity = print\n"
        "register_baseline('first', label='First')(Mine)\nregister_baseline('fm_ot', label='Mine')(Mine)\n"
    )
    for _ in range(2):  # the second time, too: what it has registered before it failed is forgotten
        with pytest.raises(
            UsageError, match=r"'fm_ot' is registered twice, in baselines.fm_ot and in bench_plugin_mine_.*;"
        ):
            load_plugin(str(path))
        assert "first" not in baselines and baselines["fm_ot"].label != "Mine"


def test_a_plugin_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = tmp_path / "aaa2030"
    paper.mkdir()
    (paper / "paper.toml").write_text('title = "Ours"\ncitation = "N., 2030"\n')
    (tmp_path / "pkm").mkdir()
    (tmp_path / "pkm" / "part.py").write_text(
        "from bench import register_metric\nregister_metric('mine', title='Mine')(lambda *_: 0.0)\n"
    )
    entries = (
        "import pkm.part\nfrom bench import Claim, register_claim, register_paper\n"
        f"register_paper({str(paper)!r})\n"
        "register_claim(Claim(id='Z9', title='t', subject='fm_ot', against='ddpm'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before, known = [set(registry) for registry in SEVEN], own()
    for _ in range(2):
        (tmp_path / "pkm" / "__init__.py").write_text(entries + "1 / 0\n")
        with pytest.raises(UsageError, match="--plugin pkm: ZeroDivisionError"):
            load_plugin("pkm")
        assert [set(registry) for registry in SEVEN] == before and own() == known
    (tmp_path / "pkm" / "__init__.py").write_text(entries)
    monkeypatch.setattr("bench.config.registry.loaded", {})
    load_plugin("pkm")  # mended
    try:
        assert "mine" in metrics and "aaa2030" in papers and [claim.id for claim in own()] == ["Z9"]
    finally:
        claims.pop("Z9")


def test_a_registry_that_failed_says_so_at_every_look_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_things").mkdir()
    for name, text in {"__init__": "", "broken": "1 / 0", "after": ""}.items():
        (tmp_path / "half_things" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    things: Registry[object] = Registry("thing", "half_things")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"^things of half_things\.broken: ZeroDivisionError: division by zero$"):
            len(things)


@dataclass(frozen=True)
class Known(Sampler):
    weight: float = 1.0
    needs = ("velocity", "path")

    def sample(self, model: Any, x0: Any, rng: Any) -> Any:
        return x0


def test_what_can_be_is_registered() -> None:
    assert register_sampler("mine")(Known).name == "mine"
    register_metric("mine", title="Mine", group="", limit="w2_n", data="points")(lambda *_: 0.0)
    assert metrics["mine"].limit == "w2_n"


def test_what_bench_exports_baselines_import_from_there() -> None:
    longer = set()
    for path in (Path(__file__).parents[2] / "baselines").glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        names = {alias.name for node in imports if f"{node.module}".startswith("bench.") for alias in node.names}
        longer |= {(path.name, name) for name in names & {*bench.__all__}}
    assert longer == set()
