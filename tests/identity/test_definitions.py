"""What counts as a change of a definition, and what does not."""

from pathlib import Path

import pytest

from bench.identity.definitions import Module, read

TEXT = '''
"""A module."""
import math
from dataclasses import dataclass

SCALE = 2.0

@dataclass(frozen=True)
class Method(Base):
    """A method."""
    sigma: float = 0.1
    width: int

    def loss(self, net, x):
        """The loss."""
        y = SCALE * net(x)
        print(f"loss of {len(x)}")
        if len(x) < 2:
            raise ValueError("too few")
        return (y - x).square()

    def velocity(self, net):
        return lambda t, x: net(t, x)
'''


def module(text: str = TEXT) -> Module:
    return read(Path("my.py"), text)


def differing(text: str) -> set[str]:
    """Names of the definitions whose digest is another one in `text`."""
    before, now = module().definitions, module(text).definitions
    names = set(before) | set(now)
    return {n for n in names if n not in before or n not in now or before[n].digest != now[n].digest}


SAME = {
    "a comment": ("    def velocity", "    # of the ODE\n    def velocity"),
    "formatting": ("(y - x).square()", "(\n            y - x\n        ).square()"),
    "a docstring": ('"""The loss."""', '"""Its loss, per sample."""'),
    "no docstring": ('        """The loss."""\n', ""),
    "a type hint": ("def loss(self, net, x):", "def loss(self, net: Network, x: Tensor) -> Tensor:"),
    "the hint of a local name": ("y = SCALE", "y: Tensor = SCALE"),
    "a message": ('"too few"', 'f"too few: {len(x)}"'),
    "a line for a log": ('print(f"loss of {len(x)}")', 'print(f"the loss of {len(x)} samples")'),
    "quotes": ('"""A module."""', "'''A module, and more.'''"),
    "an import": ("import math\n", "import math\nimport json\n"),
}
OTHER = {
    "a method": ("net(t, x)\n", "2 * net(t, x)\n", {"Method.velocity"}),
    "a constant": ("SCALE = 2.0", "SCALE = 3.0", {"SCALE"}),
    "a default": ("sigma: float = 0.1", "sigma: float = 0.2", {"Method.sigma"}),
    "an operator": ("len(x) < 2", "len(x) <= 2", {"Method.loss"}),
    "the kind of an error": ("ValueError", "TypeError", {"Method.loss"}),
    "a base": ("(Base)", "(Other)", {"Method"}),
    "a decorator": ("frozen=True", "frozen=False", {"Method"}),
    "one and true": ("SCALE = 2.0", "SCALE = 2", {"SCALE"}),
    "a new method": ("    def velocity", "    def path(self): ...\n\n    def velocity", {"Method.path"}),
}


@pytest.mark.parametrize("what", SAME)
def test_what_no_number_hangs_on_is_no_change(what: str) -> None:
    old, new = SAME[what]
    assert old in TEXT and differing(TEXT.replace(old, new)) == set()


@pytest.mark.parametrize("what", OTHER)
def test_a_change_is_one_of_its_definition_alone(what: str) -> None:
    old, new, names = OTHER[what]
    assert old in TEXT and differing(TEXT.replace(old, new)) == names


def test_what_a_definition_refers_to() -> None:
    there = module(
        "import a.b\nfrom c import d as e\n\ndef f(x):\n    from g import h\n    return a.b.k(e, x().m, h)\n"
    )
    f = there.definitions["f"]
    assert {("a", "b", "k"), ("e",), ("h",)} <= f.chains and f.attributes == {"m"}
    assert f.imports == {"h": ("g", "h", 0)} and there.imports == {"a": ("a", "", 0), "e": ("c", "d", 0)}


def test_a_member_that_nobody_names_counts_if_python_or_a_decorator_calls_it() -> None:
    text = (
        "class A:\n    def __call__(self): ...\n    @hook\n    def b(self): ...\n    @property\n    def c(self): ...\n"
    )
    assert module(text).members["A"] == {"__call__": True, "b": True, "c": False}


def test_registered_names_lead_to_their_definitions() -> None:
    text = '@register_baseline("mine", label="Mine")\nclass A: ...\n\n@toy("ring", f)\ndef g(): ...\n'
    assert module(text).registered == {"mine": ["A"], "ring": ["g"]}
    other = text.replace('label="Mine"', 'label="My own"')
    assert module(other).definitions["A"].digest == module(text).definitions["A"].digest


def test_statements_that_define_nothing_are_the_body_of_the_module() -> None:
    text = "A = {}\nA.update(b=1)\nregister_claim(1)\nif __name__ == '__main__':\n    f()\n"
    there = module(text).definitions
    assert set(there) == {"A", "<module>"} and there["<module>"].chains == {("A", "update")}


def test_what_is_defined_in_a_branch_is_defined() -> None:
    text = (
        "try:\n    import a\nexcept ImportError:\n    a = None\nif a:\n    def f(): ...\nelse:\n    def f(): return 1\n"
    )
    there = module(text)
    assert {"a", "f"} <= set(there.definitions) and "a" in there.imports
