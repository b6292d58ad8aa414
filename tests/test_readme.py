"""README.md shows files of the project and a table of its baselines, and its commands are ones the command line takes.

`python tests/test_readme.py` writes what is shown into it.
"""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cards import table_of_baselines

from bench.config.registry import baselines
from bench.records.seal import read_json

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SHOWN = re.compile(r"(<!-- (\S+?)(?:, sections (\d+)-(\d+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def shown(path: str, first: str | None, last: str | None) -> str:
    """What README shows: code, the tables and titles of some sections of a Markdown file, or the baselines."""
    if path == "baselines":
        return table_of_baselines()
    text = (ROOT / path).read_text(encoding="utf-8")
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
    text = README.read_text(encoding="utf-8")
    assert len([match for match in SHOWN.findall(text) if match[1] != "baselines"]) == 6
    assert text == current(text)


def test_every_baseline_has_a_line_of_what_it_is_and_gives() -> None:
    lines = table_of_baselines().splitlines()
    assert all(line.count("|") == 5 for line in lines) and len(lines) == 2 + len(baselines)
    assert lines[2].startswith("| `fm_ot` | FM w/ OT: ") and lines[2].endswith("| exact, by the ODE | ODE |")
    cells = {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:5]] for line in lines[2:]}
    assert set(cells) == set(baselines)
    assert cells["ddpm"][2] == "ODE; `ancestral` in 1000; `ddim` in 50"
    assert cells["regression"][1:] == ["none", "`direct` in 1"]


@pytest.mark.slow
def test_counts_in_words_are_those_of_the_records(reference: Callable[[str], Path]) -> None:
    text, toys = " ".join(README.read_text(encoding="utf-8").split()), reference("toys")
    records = [read_json(path) for path in toys.glob("runs/*-scoreflow-*/likelihood.json")]
    nll = [next(m["value"] for m in record["measurements"] if m["metric"] == "nll_nats") for record in records]
    assert f"in {sum(value > 10 for value in nll)} of {len(nll)} runs (NLL above 10 nats)" in text


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    calls = (re.fullmatch(r"(?:\S*python run_all\.py|flow-matching-bench)\b(.*)", line) for line in lines)
    return [call[1] for call in calls if call]


@pytest.mark.parametrize("command", commands())
def test_commands_are_taken(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.command.actions import planned
    from bench.config.suite import suite_names
    from run_all import parser

    monkeypatch.chdir(tmp_path)
    quick = ROOT / "bench" / "suites" / "quick.toml"
    Path("my_suite.toml").write_text(quick.read_text(encoding="utf-8"))
    Path("my_claims.toml").write_text('[[claims]]\nid = "T"\ntitle = "t"\nsubject = "fm_ot"\nagainst = "ddpm"\n')
    Path("flowers.toml").write_text(re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[0])
    for plugin in ("late", "near_data", "langevin"):
        Path(f"{plugin}.py").touch()
    monkeypatch.setattr("bench.papers.claims._registered", {})
    options = parser().parse_args(shlex.split(command))
    name, _, runs = planned(options)
    assert name in (*suite_names(), "my_suite", "flowers")
    assert runs


if __name__ == "__main__":
    README.write_text(current(README.read_text(encoding="utf-8")))
    sys.exit()
