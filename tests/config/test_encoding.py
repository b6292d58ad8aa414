"""Every file is read and written as UTF-8 in any locale; suites are read as people leave them, marks and numbers."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.config import toml
from bench.config.suite import SUITES, load_suite
from bench.errors import UsageError
from bench.papers.claims import load_claims

REPOSITORY = Path(__file__).parents[2]
CLAIMS = REPOSITORY / "bench" / "papers" / "lipman2023" / "claims.toml"
SOURCES = [*REPOSITORY.glob("bench/**/*.py"), *REPOSITORY.glob("baselines/*.py"), REPOSITORY / "run_all.py"]


def unsaid(tree: ast.AST) -> list[int]:
    """Lines of calls that open a file as text and leave its encoding to the locale."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        text = name in ("read_text", "write_text") and isinstance(node.func, ast.Attribute)
        if name == "open":
            modes = [a.value for a in [*node.args, *keywords.values()] if isinstance(a, ast.Constant)]
            of_a_path = isinstance(node.func, ast.Name) or all(len(str(mode)) <= 3 for mode in modes)
            opener = ast.unparse(node.func).split(".")[0]
            text = (
                of_a_path
                and opener not in ("Image", "pil", "tarfile", "archive", "lzma", "gzip", "os")
                and not any("b" in str(m) for m in modes)
            )
        if name in ("run", "Popen", "check_output", "check_call"):
            text = "text" in keywords or "universal_newlines" in keywords
        if text and "encoding" not in keywords:
            found.append(node.lineno)
    return found


def test_the_search_finds_what_it_is_for() -> None:
    bad = 'p.read_text(); p.write_text("x"); p.open("a"); open("f"); run(c, text=True)'
    assert unsaid(ast.parse(bad.replace("; ", "\n"))) == [1, 2, 3, 4, 5]
    good = 'p.read_text(encoding="utf-8"); p.open("rb"); open("f", encoding="utf-8"); run(c, encoding="utf-8")'
    assert unsaid(ast.parse(good)) == []


def test_no_file_is_read_or_written_in_the_encoding_of_the_locale() -> None:
    found = {str(path): unsaid(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES}
    # `bench.records.files.write_text` is a function of ours.
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    suite, claims = tmp_path / "mine.toml", tmp_path / "claims.toml"
    suite.write_bytes(b"\xef\xbb\xbf" + (SUITES / "smoke.toml").read_bytes())
    assert load_suite(str(suite))[1] == load_suite("smoke")[1]
    claims.write_bytes(b"\xef\xbb\xbf" + CLAIMS.read_bytes())
    assert load_claims(claims) == load_claims(CLAIMS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seeds = [" + b"1" * 5000 + b"]", "more digits than 64 bits"),
        (b"seeds = [9223372036854775808]", "more digits than 64 bits"),
        (b"[[experiments]]\ntraining = { steps = 1, lr = { x = 1" + b"0" * 30 + b" } }", "more digits than 64 bits"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"x = \xff", "can't decode byte 0xff"),
        (b"seeds = [", "Invalid value"),
    ],
)
def test_what_no_suite_can_hold_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as complaint:
        load_suite(str(path))
    assert said in str(complaint.value) and "\n" not in str(complaint.value) and len(str(complaint.value)) < 400


def test_numbers_of_64_bits_are_read() -> None:
    assert toml.parse("x = [9223372036854775807, -9223372036854775808]") == {"x": [2**63 - 1, -(2**63)]}


NAMES = r"""
import sys
from pathlib import Path
from bench.records.files import write_text
root = Path(sys.argv[1])
write_text(root / "a.txt", "gr\u00f6\u00dfer")
from bench.papers.claims import of_papers
print(len(of_papers()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX"}]
)
def test_files_are_utf_8_in_any_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | locale
    ended = subprocess.run(
        [sys.executable, "-c", NAMES, str(tmp_path)], env=environment, capture_output=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "a.txt").read_bytes() == "größer".encode()
