"""What the tests share: one thread a process, and datasets built by hand."""

import functools
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from oracles import GaussianMixture

from bench.config.registry import SEVEN, Registry, baselines, loaded
from bench.datasets.base import Dataset
from bench.records.archive import opened

torch.set_num_threads(1)

LONG = ("test_kills", "test_newcomer", "test_ranks", "test_fidelity", "test_conformance")  # a minute or two a file
ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)
REFERENCE = Path(__file__).parents[1] / "results" / "reference"
# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=4, help="kills of tests/test_kills.py (default: 4)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick half does not import a file whose tests are all slow: torch-fidelity alone takes ten seconds."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        return bool(ALL_SLOW.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers what is long goes first, lest one of them waits for another at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file goes to one worker, that its fixtures are made once; long tests that share none are handed out singly."""
    config.option.loadscopereorder = False
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if _is_split(config.rootpath / file) else file

    return Scheduling(config, log) if config.option.dist == "load" else None


@functools.cache
def _is_split(file: Path) -> bool:
    text = file.read_text(encoding="utf-8")
    return bool(ALL_SLOW.search(text)) and not any(shared in text for shared in ('scope="module"', "built: Path"))


@pytest.fixture
def own_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test registers is forgotten after it."""
    _forget_new(monkeypatch, (baselines,))


@pytest.fixture
def own_entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same of all registries; the next test loads its plugins again."""
    _forget_new(monkeypatch, SEVEN)
    before = set(sys.modules)
    yield
    for name in {name for name in sys.modules if name.startswith("bench_plugin_")} - before:
        del sys.modules[name]


def _forget_new(monkeypatch: pytest.MonkeyPatch, registries: Iterable[Registry[Any]]) -> None:
    for registry in registries:
        registry.load()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture(scope="session")
def reference() -> Iterator[Callable[[str], Path]]:
    """The folder of a suite's reference records, out of its archive."""
    with ExitStack() as stack:
        yield functools.cache(lambda suite: stack.enter_context(opened(REFERENCE / f"{suite}.tar.xz")))


@pytest.fixture
def warm_interpreters() -> Iterator[None]:
    """Processes that the test starts are forked from one that has imported everything."""
    with warm.interpreters():
        yield


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of this process have none: they take most of the time."""
    for drawing in ("figures", "suite_pictures"):
        monkeypatch.setattr(f"bench.report.build.{drawing}", lambda *_: [])


@pytest.fixture(autouse=True)
def own_plugins() -> Iterator[None]:
    """Plugins that the test loads are not those of the next one's results."""
    before = dict(loaded)
    yield
    loaded.clear()
    loaded.update(before)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def points() -> Dataset:
    """512 + 256 points of a mixture of two Gaussians, with its exact density."""
    mixture = GaussianMixture.pair()
    draw = torch.Generator().manual_seed(1)
    train, test = mixture.sample(512, draw).float(), mixture.sample(256, draw).float()
    return Dataset("pair", "1", train, test, log_prob=mixture.log_prob)


@pytest.fixture(scope="session")
def images() -> Dataset:
    """64 + 12 images of 1 x 2 x 3 pixels with 256 levels."""
    draw = torch.Generator().manual_seed(2)
    train, test = (torch.randint(0, 256, (n, 1, 2, 3), generator=draw, dtype=torch.uint8) for n in (64, 12))
    return Dataset("tiny", "1", train, test, levels=256)
