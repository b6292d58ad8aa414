"""The tables as LaTeX for a paper: booktabs, as narrow as they can be, nothing special left unescaped."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.report.grid import Entry, Grid, Header

SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$",
    "−": "$-$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "₂": "$_2$", "²": "$^2$", "∞": r"$\infty$", "·": r"$\cdot$",
    "–": "--", "×": r"$\times$", "é": r"\'e", "≈": r"$\approx$",
})  # fmt: skip
HEAD = r"% Needs \usepackage{booktabs} and \usepackage{graphicx}; \input this file."
ENVIRONMENT = r"""
\begin{table}[htbp]
  \centering\footnotesize\setlength{\tabcolsep}{4pt}
  \caption{%(caption)s}
  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%%
  \begin{tabular}{%(columns)s}
    \toprule
%(header)s
    \midrule
%(body)s
    \bottomrule
  \end{tabular}}

  \smallskip\begin{minipage}{\linewidth}\scriptsize %(below)s\end{minipage}
\end{table}
"""
MAY_BE_SAID_BELOW = ("Sampler", "Seeds", "Parameters", "Steps")


def latex(grids: Iterable[tuple[Grid, Sequence[str]]]) -> str:
    """Each grid as a `table` environment with its notes."""
    return HEAD + "".join(_environment(grid, notes) for grid, notes in grids)


def _environment(grid: Grid, notes: Sequence[str]) -> str:
    headers = [*map(Header, grid.leading), *grid.headers]
    lines = [[Entry(row.label), Entry(row.sampler), *row.entries] for row in grid.rows]
    of_methods = [line for line, row in zip(lines, grid.rows, strict=True) if row.baseline]
    values = {i: {line[i].plain for line in of_methods} for i in range(len(headers))}
    same = {i: of for i, of in values.items() if headers[i].title in MAY_BE_SAID_BELOW and len(of) == 1}
    columns = [i for i in range(len(headers)) if i not in same]
    used = {number for line in lines for entry in line for number in entry.notes}
    below = [f"{headers[i].title}: {value}." for i, of in same.items() for value in of if value]
    below += grid.remarks[1:]
    below += [f"[{i}] {note}." for i, note in enumerate(notes, 1) if i in used]
    return ENVIRONMENT % {
        "caption": tex(" ".join([f"{grid.title}.", *grid.remarks[:1]])),
        "columns": "".join("l" if i < 2 else "r" for i in columns),
        "header": _line(_header(headers[i]) for i in columns),
        "body": "\n".join(_line(_entry(line[i]) for i in columns) for line in lines),
        "below": tex(" ".join(below)),
    }


def _line(cells: Iterable[str]) -> str:
    return f"    {' & '.join(cells)} " + r"\\"


def _header(header: Header) -> str:
    """A header with a line for each word of its title, its arrow beside the last, and one for its detail."""
    words = re.split(r" (?=[^↓↑\[])", replace(header, detail=()).text)
    if not words[1:] and not header.detail:
        return tex(header.text)
    lines = map(tex, filter(None, [*words, ", ".join(header.detail)]))
    return r"\begin{tabular}[b]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"


def _entry(entry: Entry) -> str:
    return rf"\textbf{{{tex(entry.plain)}}}" if entry.best else tex(entry.plain)


def tex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return text.translate(SPECIAL)
