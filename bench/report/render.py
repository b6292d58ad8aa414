"""Tables as text: Markdown for reading, LaTeX (booktabs) for a paper."""

import re
from collections.abc import Iterable, Sequence

from bench.report import vocabulary
from bench.report.tables import Entry, Grid, Table

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$",
    "−": "$-$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "₂": "$_2$", "²": "$^2$", "∞": r"$\infty$", "·": r"$\cdot$",
    "–": "--", "é": r"\'e",
}  # fmt: skip
TEX_HEAD = "% Needs \\usepackage{booktabs} and, for wide tables, \\usepackage{graphicx}; \\input this file.\n"


def markdown(tables: Iterable[Table]) -> str:
    """All tables as one Markdown document, aligned so that it also reads as plain text."""
    tables = list(tables)
    suites = ", ".join(dict.fromkeys(table.section.suite for table in tables))
    parts = [f"# Headline table of suite {suites}"]
    parts += [f"Protocol {name}: {vocabulary.PROTOCOLS.get(name, '')}" for name in _protocols(tables)]
    for table in tables:
        for grid in table.grids:
            lines = [["Baseline", "Sampler", *map(_plain, grid.headers)]]
            lines += [[_plain(row.label), _plain(row.sampler), *map(_bold, row.entries)] for row in grid.rows]
            remarks = "\n".join(f"- {_plain(remark)}" for remark in grid.remarks)
            parts += [f"## {_plain(grid.title)}", _aligned(lines), remarks]
        if table.notes:
            parts.append("\n".join(f"- [{i}] {_plain(note)}" for i, note in enumerate(table.notes, 1)))
    return "\n\n".join(parts) + "\n"


def _protocols(tables: Iterable[Table]) -> list[str]:
    return list(dict.fromkeys(table.section.protocol for table in tables))


def _bold(entry: Entry) -> str:
    return f"**{_plain(entry.plain)}**" if entry.best else _plain(entry.plain)


def _plain(text: str) -> str:
    """Text without meaning to Markdown."""
    return re.sub(r"([|<>`*_\\])", r"\\\1", text)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def line(texts: Sequence[str]) -> str:
        padded = [t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w if i < 2 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])])


def latex(tables: Iterable[Table]) -> str:
    """Each grid as a `table` environment, all special characters escaped."""
    return TEX_HEAD + "\n".join(_environment(grid, table.notes) for table in tables for grid in table.grids)


def _environment(grid: Grid, notes: Sequence[str]) -> str:
    headers = ["Baseline", "Sampler", *grid.headers]
    lines = [[tex(row.label), tex(row.sampler), *map(_tex_entry, row.entries)] for row in grid.rows]
    used = {number for row in grid.rows for entry in row.entries for number in entry.notes}
    caption = " ".join([f"{grid.title}.", *grid.remarks, *(f"[{i}] {n}." for i, n in enumerate(notes, 1) if i in used)])
    body = "\n".join(f"    {' & '.join(line)} \\\\" for line in lines)
    return (
        "\\begin{table}[htbp]\n  \\centering\\footnotesize\n"
        f"  \\caption{{{tex(caption)}}}\n"
        "  \\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"  \\begin{{tabular}}{{ll{'r' * len(grid.headers)}}}\n    \\toprule\n"
        f"    {' & '.join(map(tex, headers))} \\\\\n    \\midrule\n{body}\n    \\bottomrule\n"
        "  \\end{tabular}}\n\\end{table}\n"
    )


def _tex_entry(entry: Entry) -> str:
    return f"\\textbf{{{tex(entry.plain)}}}" if entry.best else tex(entry.plain)


def tex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(TEX.get(character, character) for character in text)
