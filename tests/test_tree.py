"""The checkout stays light: what git tracks is small, and results are passed on as archives."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MIB = 2**20


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    """Bytes of every tracked file by its path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
    names = [name.decode() for name in listed.split(b"\0") if name]
    return {
        name: (ROOT / name).lstat().st_size for name in names if (ROOT / name).is_symlink() or (ROOT / name).exists()
    }


def test_the_whole_tree_stays_under_12_mib(sizes: dict[str, int]) -> None:
    assert sum(sizes.values()) < 12 * MIB


def test_the_reference_is_at_most_8_mib_in_80_files(sizes: dict[str, int]) -> None:
    reference = [size for name, size in sizes.items() if name.startswith("results/reference/")]
    assert sum(reference) <= 8 * MIB and len(reference) <= 80
    assert "results/reference/toys.tar.xz" in sizes


def test_there_are_no_pdfs_and_no_large_pages(sizes: dict[str, int]) -> None:
    assert not [name for name in sizes if name.lower().endswith(".pdf")]
    assert not [name for name, size in sizes.items() if name.endswith((".html", ".htm")) and size > 3 * MIB]


def test_the_root_holds_what_the_layout_names(sizes: dict[str, int]) -> None:
    named = {".ci", ".gitignore", "Makefile", "README.md", "constraints.txt", "pyproject.toml", "run_all.py"}
    assert {name.split("/")[0] for name in sizes} == named | {"bench", "baselines", "results", "tests"}
