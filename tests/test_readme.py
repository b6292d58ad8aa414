"""README.md shows files of the project, and its commands are ones that the command line takes.

`python tests/test_readme.py` writes the shown files into it.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SHOWN = re.compile(r"(<!-- (\S+?)(?:, sections (\d+)-(\d+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def shown(path: str, first: str | None, last: str | None) -> str:
    """A file as README shows it: code in a fence, and of a Markdown file the tables and titles of some sections."""
    text = (ROOT / path).read_text()
    if path.endswith(".py"):
        return f"```python\n{text}```\n"
    if first is None or last is None:
        return text
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[int(first) : int(last) + 1]
    lines = [line for section in sections for line in f"**{section}".splitlines() if not line.startswith("- ")]
    titled = [f"{line}**" if line.startswith("**") else line for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(titled)).strip() + "\n"


def current(text: str) -> str:
    """README with every shown file as it is now."""
    return SHOWN.sub(lambda m: m[1] + shown(m[2], m[3], m[4]) + m[6], text)


def test_shown_files_are_the_committed_ones() -> None:
    text = README.read_text()
    assert len(SHOWN.findall(text)) == 2
    assert text == current(text)


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line.split("run_all.py", 1)[1] for line in lines if "run_all.py" in line]


@pytest.mark.parametrize("command", commands())
def test_commands_are_taken(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.command import planned
    from bench.suite import suite_names
    from run_all import parser

    monkeypatch.chdir(tmp_path)
    quick = ROOT / "bench" / "suites" / "quick.toml"
    Path("my_suite.toml").write_text(quick.read_text())
    options = parser().parse_args(shlex.split(command))
    name, _, runs = planned(options)
    assert name in (*suite_names(), "my_suite")
    assert runs


def test_the_worked_example_runs_as_a_plugin(tmp_path: Path) -> None:
    """README's own text, saved to a file under another name, gives a finished run and a report."""
    (text,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    plugin = tmp_path / "my_baseline.py"
    plugin.write_text(text.replace('"ot_cfm"', '"readme_ot_cfm"').replace('"OT-CFM"', '"OT-CFM of the README"'))
    where = ["--results", tmp_path, "--data-dir", tmp_path, "--workers", "1", "--device", "cpu"]
    what = ["--suite", "smoke", "--datasets", "checkerboard", "--baselines", "readme_ot_cfm", "--plugin", plugin]
    subprocess.run([sys.executable, ROOT / "run_all.py", *what, *where], check=True, timeout=120)
    assert "OT-CFM of the README" in (tmp_path / "smoke" / "table.md").read_text()


if __name__ == "__main__":
    README.write_text(current(README.read_text()))
    sys.exit()
