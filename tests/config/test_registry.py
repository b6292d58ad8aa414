"""Names: registered once, listed in order, wrong ones answered with the nearest; plugins loaded once and whole."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench.config.registry import (
    Registry,
    baselines,
    datasets,
    figures,
    load_plugin,
    metrics,
    networks,
    papers,
    samplers,
)
from bench.errors import UsageError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package whose modules register entries in `this_registry`."""
    folder = tmp_path / "some_things"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from bench.config.registry import Registry\nthings = Registry('thing', 'some_things')\n"
    )
    (folder / "zebra.py").write_text("from some_things import things\nthings.register('zebra')('a zebra')\n")
    (folder / "apple.py").write_text("from some_things import things\nthings.register('apple')('an apple')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "some_things"
    for name in [name for name in sys.modules if name.startswith("some_things")]:
        del sys.modules[name]


@pytest.fixture
def things(package: str) -> "Registry[str]":
    import some_things  # type: ignore[import-not-found]

    return some_things.things


def test_every_module_of_the_package_registers(things: "Registry[str]") -> None:
    assert list(things) == ["apple", "zebra"] and len(things) == 2
    assert things["zebra"] == "a zebra"
    assert dict(things.items()) == {"apple": "an apple", "zebra": "a zebra"}


def test_nothing_is_imported_before_the_first_look(things: "Registry[str]") -> None:
    assert "some_things.zebra" not in sys.modules
    assert "zebra" in things
    assert "some_things.zebra" in sys.modules


def test_a_name_can_be_asked_for(things: "Registry[str]") -> None:
    assert "zebra" in things and "unicorn" not in things


def test_an_unknown_name_is_answered_with_the_known_and_the_nearest(things: "Registry[str]") -> None:
    with pytest.raises(UsageError, match=r"^unknown thing 'zebar'; known: apple, zebra; did you mean 'zebra'\?$"):
        things["zebar"]
    with pytest.raises(UsageError, match=r"^unknown thing 'q'; known: apple, zebra; --plugin FILE registers more$"):
        things["q"]


def test_a_name_is_registered_once(things: "Registry[str]") -> None:
    register = things.register("pear")
    register("a pear")
    with pytest.raises(UsageError, match="thing 'pear' is registered twice"):
        things.register("pear")("another pear")


def test_installed_packages_add_entries_by_entry_point(
    things: "Registry[str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere.py").write_text("from some_things import things\nthings.register('quince')('a quince')\n")
    points = {"bench.things": [EntryPoint("quince", "elsewhere", "bench.things")]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points.get(group, []))
    assert list(things) == ["apple", "quince", "zebra"]


def test_a_package_may_find_its_entries_itself(things: "Registry[str]") -> None:
    import some_things

    some_things.find = lambda: {"a folder": lambda: things.register("folder")("a folder of data")}
    assert dict(things.items()) == {"folder": "a folder of data"}


def test_the_seven_registries() -> None:
    seven = (datasets, networks, baselines, samplers, metrics, figures, papers)
    kinds = ["datasets", "networks", "baselines", "samplers", "metrics", "figures", "papers"]
    assert [r.group for r in seven] == [f"bench.{kind}" for kind in kinds]
    packages = {r.kind: r.package for r in seven if r.package != r.group}
    assert packages == {"baseline": "baselines", "figure": "bench.report.plots"}


def test_the_methods_of_the_paper_are_there() -> None:
    paper = {"fm_ot", "fm_diffusion", "score_matching", "scoreflow", "ddpm"}
    assert paper | {"ffjord", "rnode", "ot_cfm"} <= set(baselines)
    assert {"mlp", "concatsquash", "unet"} <= set(networks)
    assert {"checkerboard", "8gaussians", "moons", "digits"} <= set(datasets)


# Plugins.


def test_a_plugin_file_is_imported_once(tmp_path: Path) -> None:
    path = tmp_path / "plug.py"
    path.write_text(f"from pathlib import Path\nwith Path({str(tmp_path / 'log')!r}).open('a') as f: f.write('x')\n")
    assert load_plugin(str(path)) is load_plugin(str(path))
    assert (tmp_path / "log").read_text() == "x"


def test_a_file_named_as_a_module_is_asked_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_baseline.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])
    with pytest.raises(UsageError, match=r"--plugin my_own_baseline: .* did you mean the file my_own_baseline\.py\?"):
        load_plugin("my_own_baseline")


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    modules = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plug.py").write_text(f"here = {folder!r}\n")
        modules.append(load_plugin(str(tmp_path / folder / "plug.py")))
    assert [module.here for module in modules] == ["a", "b"]


def test_a_module_is_a_plugin() -> None:
    assert load_plugin("json").__name__ == "json"


@pytest.mark.parametrize(
    ("plugin", "text", "message"),
    [
        ("missing.py", None, "missing.py: no such file"),
        ("broken.py", "def f(:\n", "SyntaxError"),
        ("raising.py", "1 / 0\n", "ZeroDivisionError: division by zero"),
        ("no_such_module", None, "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(
    tmp_path: Path, plugin: str, text: str | None, message: str
) -> None:
    path = tmp_path / plugin
    if text is not None:
        path.write_text(text)
    for _ in range(2):  # the second time, too: nothing half-imported is left behind
        with pytest.raises(UsageError, match="--plugin") as caught:
            load_plugin(str(path) if plugin.endswith(".py") else plugin)
        modules = [m for m in sys.modules.values() if getattr(m, "__file__", None) == str(path)]
        assert not modules
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_imported_is_one_line_that_names_it(things: "Registry[str]", tmp_path: Path) -> None:
    (tmp_path / "some_things" / "broken.py").write_text("import no_such_module\n")
    with pytest.raises(UsageError, match=r"^things of some_things\.broken: ModuleNotFoundError: .*no_such_module"):
        list(things)
