import re
from pathlib import Path

import pytest

from bench.config.names import LENGTH, safe_name


@pytest.mark.parametrize(
    "name", ["checkerboard", "imagenet32", "cifar10-fm_ot-87bc80-s0", "a.b+c=1", "_x", "0", "x" * LENGTH]
)
def test_a_plain_name_stays(name: str) -> None:
    assert safe_name(name) == name


HOSTILE = [
    *("", ".", "..", "../../x", "/etc/passwd", ".hidden", "-rf", "--flag", "a/b", "a\\b", "a:b", "a b", "a%j%x"),
    *("a\nb", "a\0b", "$(x)", "ä", "画像", "\ud800", "x" * 5000, "x" * (LENGTH + 1), "a_b/", "a/b_", "con*", "~"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_leads_nowhere_and_meets_no_pattern(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_+=][A-Za-z0-9._+=-]*", safe) and len(safe) <= LENGTH
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    (tmp_path / safe).write_bytes(b"")
    assert safe_name(safe) == safe


def test_distinct_names_stay_distinct() -> None:
    names = [*HOSTILE, "a_b", "a.b", "a-b", "_", "__", "lab/run 1", "lab run/1", "lab_run_1", "x" * 5001]
    assert len({safe_name(name) for name in names}) == len(set(names))
