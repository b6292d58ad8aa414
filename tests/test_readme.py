"""The README files show files of the project and a table of its baselines; their links and commands are true.

`python tests/test_readme.py` writes what is shown into them.
"""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from cards import table_of_baselines

from bench.config.registry import baselines
from bench.records.seal import read_json
from bench.report.extract import listed

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
READMES = [
    README,
    *(path for room in ("baselines", "bench", "results", "tests") for path in (ROOT / room).rglob("README.md")),
]
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
    """A README with every shown file as it is now."""
    return SHOWN.sub(lambda m: m[1] + shown(m[2], m[3], m[4]) + m[6], text)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", READMES, ids=named)
def test_shown_files_are_the_committed_ones(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == current(text)


def test_files_are_shown() -> None:
    shown_ones = {match[1] for path in READMES for match in SHOWN.findall(path.read_text(encoding="utf-8"))}
    assert {"baselines", *(f"tests/plugins/{name}.py" for name in ("gan", "langevin", "metric"))} <= shown_ones


def test_a_stranger_reads_250_lines_and_no_table_is_wide() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250
    tables = [line for line in lines if line.startswith("|")]
    assert max(map(len, tables)) <= 120 and max(line.count("|") for line in tables) <= 9


def prose(path: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("path", READMES, ids=named)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)\s]*)\)", prose(path)):
        file, _, heading = link.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}, link


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


def test_ot_cfm_of_the_table_had_a_quarter_of_the_evaluations() -> None:
    """Thousands of them are the last column but one."""
    rows = [[cell.strip(" *") for cell in line.split("|")] for line in README.read_text(encoding="utf-8").splitlines()]
    spent = {row[1]: row[-3].split()[0].replace(",", "") for row in rows if len(row) == 9 and len(row[-3].split()) > 1}
    assert 4 * int(spent["OT-CFM"]) == int(spent["FM w/ OT"])


def test_what_is_said_of_the_reproduced_table_is_in_its_cells() -> None:
    """A row has method and seeds, then printed, measured, difference and verdict, of W2 and of NPE."""
    paper = (ROOT / "results/reference/tong2024/paper.md").read_text(encoding="utf-8")
    counted = re.findall(r"^- (\d+ of \d+ cells within .* leave out [\d.]+)\.$", paper, re.MULTILINE)[0]  # of all sets
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in paper.splitlines()]
    rows = [row for row in rows if len(row) == 10]
    below = {(row[0], name) for row in rows for name, at in (("W₂", 5), ("NPE", 9)) if row[at] == "below"}
    above = [row[0] for row in rows if "above" in (row[5], row[9])]
    assert below == {("SF2M-I", "W₂"), ("RF", "W₂"), ("SB-CFM", "NPE"), ("OT-CFM", "NPE")} and above == []
    sb_cfm = [row for row in rows if row[0] == "SB-CFM" and row[9] == "below"]
    npe = [[float(row[at].split()[0]) for row in sb_cfm] for at in (7, 6)]
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"{counted}." in text
    assert [sum(row[0] == name and row[5] == "below" for row in rows) for name in ("SF2M-I", "RF")] == [2, 3]
    assert "five W₂ that are better than printed, two of SF2M-I and three of RF" in text
    measured, printed = (f"{min(values):.3f} to {max(values):.3f}" for values in npe)
    assert f"the NPE of SB-CFM, {measured} where {printed} is printed" in text and len(sb_cfm) == 3
    ((printed_npe, npe_here),) = (
        [row[at].split()[0] for at in (6, 7)] for row in rows if row[0] == "OT-CFM" and row[9] != "within"
    )
    assert f"one NPE of OT-CFM, {npe_here} where {printed_npe} is printed" in text
    differences = [row[4] for row in rows if row[4].startswith(("+", "−"))]
    less = sum(difference[0] == "−" for difference in differences)
    assert f"W₂ is below the printed mean in {less} of {len(differences)} cells" in text
    assert f"deviate by {listed([row[2].split()[-1] for row in sb_cfm])} over seeds" in text
    assert {row[0] for row in rows if row[1] == "–" and re.match(r"\d", row[2])} == {"DSBM-IPF", "DSBM-IMF", "DSB"}


def test_what_is_said_of_a_printed_npe_follows_from_it(reference: Callable[[str], Path]) -> None:
    """W2(noise, data)^2 is E / (1 + NPE) of I-CFM, whose paths have more energy than is needed."""
    published = pandas.read_csv(ROOT / "results/published/tong2024_sf2m.csv")
    printed = published[published.method == "sb_cfm"].pivot(index="dataset", columns="metric", values="value")
    said, over = [], {}
    for name, form in (
        ("8gaussians", "would be at least {:.2f} where {:.3f} is printed on 8gaussians"),
        ("moons", "{:.2f} where {:.3f} is on moons"),
        ("scurve", "{:.2f} where {:.3f} is on the S-curve"),
    ):
        records = [read_json(path) for path in reference("tong2024").glob(f"runs/sf2m_{name}-icfm-*/samples.json")]
        records = [record for record in records if record["options"]["coupling"] == "independent"]
        values = [{m["metric"]: m["value"] for m in record["measurements"]} for record in records]
        assert len(values) == 5
        optimal = sum(of["path_energy"] / (1 + of["npe"]) for of in values) / len(values)
        energy = (1.0005 - printed.npe[name]) * optimal  # 0.0005 is what three digits leave
        least = optimal**0.5 - energy**0.5
        assert least > printed.w2[name]
        said.append(form.format(least, printed.w2[name]))
        over[name] = 1 + sum(of["npe"] for of in values) / len(values)
    said.append("E is " + "{:.3f}, {:.3f} and {:.3f} times W₂²".format(*(1 + printed.npe[name] for name in over)))
    said.append(
        f"(here {over['moons']:.2f} and {over['scurve']:.2f}), but not on 8gaussians ({over['8gaussians']:.2f})"
    )
    text = " ".join((ROOT / "bench/suites/README.md").read_text(encoding="utf-8").split())
    assert [sentence for sentence in said if sentence not in text] == []


def ratios() -> dict[str, float]:
    """Ours over the reference by the name of a benchmark."""
    lines = (ROOT / "results/reference/perf.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    return {line[0]: float(line[4]) for line in cells[2:]}


def test_what_is_said_of_speed_is_what_the_benchmarks_measured() -> None:
    ratio, text = ratios(), " ".join((ROOT / "tests/perf/README.md").read_text(encoding="utf-8").split())
    training = [of for name, of in ratio.items() if re.fullmatch(r"training, .*", name)]
    suite = [ratio[f"suite toys, {name} on checkerboard, CPU time"] for name in ("fm_ot", "ddpm")]
    w2 = [ratio[f"suite toys, {name} on checkerboard, w2 over all"] for name in ("ddpm", "fm_ot")]
    stacks = [ratio[f"4x64 MLP, batch {n}, 5 seeds in a stack over one by one"] for n in (32, 128, 512)]
    ot_cfm = [ratio[f"a step of OT-CFM over one of FM, 4x64 MLP, batch {n}, 1 thread"] for n in (256, 512)]
    over = [ratio[f"10,000 samples, 4x64 MLP, over {what}"] for what in ("NFE x forward", "torchdiffeq's")]
    said = (
        f"a solve costs {over[0]} times its evaluations and {over[1]} of torchdiffeq's time",
        f"training runs at {min(training)} to {max(training)} of a bare loop",
        f"takes {suite[0]} to {suite[1]} of the CPU time",
        f"which is {w2[0]:.0%} to {w2[1]:.0%} of it",
        f"A step of OT-CFM takes {ot_cfm[0]} steps of FM-OT at batch 256, not 1.5, and {ot_cfm[1]} at 512",
        f"gains {stacks[0]} at batch 32, but {stacks[1]} at 128 and {stacks[2]} at 512",
        f"Inception is at {ratio['Inception features of 32 images 32x32']} of torch-fidelity's speed",
        f"in two dimensions is at {ratio['exact log-density, d = 2, 2000 points, 4x128 MLP']}, not 2.2",
        f"two workers gain {ratio['4x64 MLP, two workers of one thread over one of two']}, not 1.9",
    )
    assert [sentence for sentence in said if sentence not in text] == []


def commands() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in READMES]
    blocks = [block for text in texts for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    calls = (re.fullmatch(r"(?:\S*python run_all\.py|flow-matching-bench)\b(.*)", line) for line in lines)
    return list(dict.fromkeys(call[1] for call in calls if call))


@pytest.mark.parametrize("command", commands())
def test_commands_are_taken(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.command.actions import planned
    from bench.config.suite import suite_names
    from run_all import parser

    monkeypatch.chdir(tmp_path)
    quick = ROOT / "bench" / "suites" / "quick.toml"
    Path("my_suite.toml").write_text(quick.read_text(encoding="utf-8"))
    Path("my_claims.toml").write_text('[[claims]]\nid = "T"\ntitle = "t"\nsubject = "fm_ot"\nagainst = "ddpm"\n')
    (flowers,) = re.findall(r"```toml\n(# flowers.*?)```", (ROOT / "bench/datasets/README.md").read_text(), re.DOTALL)
    Path("flowers.toml").write_text(flowers)
    for plugin in ("late", "near_data", "langevin"):
        Path(f"{plugin}.py").touch()
    monkeypatch.setattr("bench.papers.claims._registered", {})
    options = parser().parse_args(shlex.split(command))
    name, _, runs = planned(options)
    assert name in (*suite_names(), "my_suite", "flowers")
    assert runs


if __name__ == "__main__":
    for readme in READMES:
        readme.write_text(current(readme.read_text(encoding="utf-8")))
    sys.exit()
