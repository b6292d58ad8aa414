"""What code a root leads to: through imports, classes and members, in a plugin's folder and not beyond."""

from pathlib import Path

import pytest

from bench.identity import source
from bench.identity.reach import Reached, reach


@pytest.fixture(autouse=True)
def forget_all() -> None:
    """No test finds what another one has read."""
    forget()


def forget() -> None:
    for path in list(source._modules):
        source.forget(path)


def reached(folder: Path, root: str, main: str, **files: str) -> Reached:
    """What `root` in main.py leads to; a file "package/one" is that of a module in a package."""
    for name, text in {"main": main, **files}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return reach([(folder / "main.py", root)])


def names(found: Reached) -> set[str]:
    return {f"{path.stem}.{name}" for path, name in found.definitions}


def test_names_lead_to_functions_constants_and_defaults(tmp_path: Path) -> None:
    text = "A = 1\nB = A + 1\nC = 3\n\ndef g(x=B): return x\n\ndef f(x): return g(x)\n\ndef h(): return C\n"
    assert names(reached(tmp_path, "f", main=text)) == {"main.f", "main.g", "main.B", "main.A"}


def test_imports_lead_to_modules_beside_it_in_every_way(tmp_path: Path) -> None:
    main = "import one\nimport two as second\nfrom three import g as h\nfrom four import *\nfrom package import five\n"
    main += "def f(x):\n    from six import k\n    return one.a(x) + second.b(x) + h(x) + c(x) + five.d(x) + k\n"
    files = {
        "one": "def a(x): ...",
        "two": "def b(x): ...\ndef z(x): ...",
        "three": "def g(x): ...",
        "four": "def c(x): ...",
    }
    files |= {"package/__init__": "", "package/five": "def d(x): return E\nE = 1", "six": "k = 1"}
    expected = {"main.f", "one.a", "two.b", "three.g", "four.c", "five.d", "five.E", "six.k"}
    assert names(reached(tmp_path, "f", main=main, **files)) == expected


def test_a_package_passes_on_what_it_imports(tmp_path: Path) -> None:
    files = {
        "package/__init__": "from .inner import g",
        "package/inner": "from . import deep\ndef g(x): return deep.h",
    }
    files["package/deep"] = "h = 1"
    assert names(reached(tmp_path, "f", main="from package import g\ndef f(x): return g(x)", **files)) == {
        *("main.f", "inner.g", "deep.h")
    }


CLASSES = """
from abc import ABC
import torch

class Base(ABC):
    def run(self): return self.step()
    def step(self): return 1
    def idle(self): return 2

class Mine(Base):
    size = 3
    def __init__(self): self.x = 1
    def step(self): return self.size
    def other(self): return 4

class Net(torch.nn.Module):
    def forward(self, x): return self.helper(x)
    def helper(self, x): return x
    def unused(self, x): return x

def f(): return Mine().run()

def g(): return Net()

def h(name): return getattr(Mine(), name)

class Any(Base):
    def a(self, name): return getattr(self, name)
    def b(self): return 1
"""


def test_members_are_reached_if_they_are_named(tmp_path: Path) -> None:
    expected = {"f", "Mine", "Mine.__init__", "Mine.step", "Mine.size", "Base", "Base.run", "Base.step"}
    assert names(reached(tmp_path, "f", main=CLASSES)) == {f"main.{name}" for name in expected}


def test_a_class_of_a_foreign_kind_is_reached_as_a_whole(tmp_path: Path) -> None:
    found = reached(tmp_path, "g", main=CLASSES)
    assert {"main.Net.forward", "main.Net.helper", "main.Net.unused"} <= names(found)
    assert "torch.nn.Module" in found.foreign


def test_a_class_that_computes_names_of_its_members_is_reached_as_a_whole(tmp_path: Path) -> None:
    assert {"main.Any.a", "main.Any.b"} <= names(reached(tmp_path, "Any.a", main=CLASSES))


def test_definitions_that_lead_to_each_other_end(tmp_path: Path) -> None:
    text = "def f(): return g()\n\ndef g(): return f()\n"
    assert names(reached(tmp_path, "f", main=text)) == {"main.f", "main.g"}


def test_a_move_is_no_change_and_an_edit_is_named(tmp_path: Path) -> None:
    before = reached(tmp_path, "f", main="def f(): return g()\n\ndef g(): return 1\n")
    forget()
    moved = reached(tmp_path, "f", main="from other import g\n\ndef f(): return g()\n", other="def g(): return 1\n")
    assert moved.digest == before.digest
    forget()
    edited = reached(tmp_path, "f", main="from other import g\n\ndef f(): return g()\n", other="def g(): return 2\n")
    assert edited.digest != before.digest
    assert {k for k, v in edited.parts().items() if moved.parts().get(k) != v} == {"other.py: g"}


def test_another_function_of_a_foreign_package_is_a_change(tmp_path: Path) -> None:
    before = reached(tmp_path, "f", main="from torch.special import i0 as g\n\ndef f(x): return g(x)\n")
    forget()
    after = reached(tmp_path, "f", main="from torch.special import i1 as g\n\ndef f(x): return g(x)\n")
    assert before.digest != after.digest


def test_what_is_no_python_or_is_gone_leads_nowhere(tmp_path: Path) -> None:
    assert names(reached(tmp_path, "f", main="import broken\n\ndef f(): return broken.g\n", broken="def (")) == {
        "main.f"
    }
    assert not reach([(tmp_path / "gone.py", "f")]).definitions


def test_a_file_that_was_edited_is_read_again_and_a_frozen_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reached(tmp_path, "f", main="def f(): return 1\n")
    (tmp_path / "main.py").write_text("def f(): return 222\n", encoding="utf-8")
    edition = source.edition
    source.refresh()
    now = reach([(tmp_path / "main.py", "f")])
    assert now.digest != before.digest and source.edition > edition
    monkeypatch.setattr(source, "_frozen", {tmp_path / "main.py": b"def f(): return 1\n"})
    forget()
    assert reach([(tmp_path / "main.py", "f")]).digest == before.digest


def test_a_phase_names_the_loss_that_is_reached(tmp_path: Path) -> None:
    text = (
        "class M:\n    phases = (Phase('critic', 'critic'), Phase())\n    def critic(self): return 1\n"
        "    def other(self): return 2\n\ndef f(m): return m.phases\n\ndef both(m): return M, f\n"
    )
    found = names(reached(tmp_path, "both", main=text))
    assert "main.M.critic" in found and "main.M.other" not in found
