"""Quality against what it costs: seconds of training along the curve, evaluations of the field in the sweep."""

import json
import math
from typing import TYPE_CHECKING

from bench.report import numbers, vocabulary
from bench.report.artefacts import Artefacts
from bench.report.plots.axes import legend, limit, line_looks, plain_log
from bench.report.plots.canvas import WIDTH, Drawing, sheet
from bench.report.scores import scores
from bench.report.sections import Section
from bench.report.style import INK

if TYPE_CHECKING:
    from pandas import DataFrame

LEGEND = 2.05  # inches at the right
WHERE = {"curve", "step", "train_seconds", "nfe_training", "nfe", "sampler", "solver", "steps", "rtol", "atol"}
SOLVERS = ("euler", "heun2", "midpoint", "heun3", "rk4", "dopri5")


def over_training(section: Section, cells: "DataFrame", artefacts: Artefacts) -> list[Drawing]:
    """A figure for every metric that was validated in the course of training."""
    metrics = set(section.curve.metric[section.curve.point > 0])  # one point is no curve
    return [_curve(section, cells, metric) for metric in sorted(metrics, key=vocabulary.order)]


def _curve(section: Section, cells: "DataFrame", metric: str) -> Drawing:
    import seaborn

    about = vocabulary.metric(metric)
    rows = _of_one_kind(section.curve[section.curve.metric == metric])
    means = rows.groupby(["variant", "point"]).agg(time=("seconds", "mean"), value=("value", "mean"))
    rows = rows.assign(time=[means.time[key] for key in zip(rows.variant, rows.point, strict=True)])
    figure, axes = sheet(1, 1, (WIDTH - 0.75 - LEGEND, 3.7), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    one = axes[0][0]
    look = line_looks(section, rows.variant)
    seaborn.lineplot(rows, x="time", y="value", hue="variant", style="variant", ax=one, **look)
    found = scores(section, cells, metric)
    floor = found.floor if found else None
    cut = limit(one, means.value, floor)
    if found and floor is not None:
        one.axhline(floor, color=INK, linewidth=1, linestyle=(0, (5, 3)))
        place = one.get_yaxis_transform()
        text = f" {found.floor_text}"
        one.annotate(text, (0, floor), (0, 3), xycoords=place, textcoords="offset points", size=8.5, color=INK)
    one.set(xscale="log", xlabel="training time [s], without evaluation", ylabel=_axis(rows, about))
    plain_log(one.xaxis)
    final = means.groupby("variant").last().sort_values("value", ascending=about.better != "higher")
    digits = 2 - math.floor(math.log10(max(final.value.abs().median(), 1e-6)))
    ends = {str(variant): numbers.fixed(value, digits) for variant, value in final.value.items()}
    legend(section, one, ends, "last point, mean")
    statement = f"{about.title} in the course of training"
    if len(ends) > 1:
        best, number = next(iter(ends.items()))
        reached = f"{about.title}, {number}{f' {about.unit}' if about.unit else ''}"
        after = f"after {final.time[best]:.3g} s of training"
        statement = f"{section.labels[best]} ends at the {about.superlative} {reached}, {after}"
    reading = (
        f"{about.title} on held-out data against seconds of training steps alone, on a logarithmic axis. Lines: mean "
        "over seeds; bands: 95% t-intervals from three seeds on. A curve further to the left and lower buys the same "
        "quality for less."
    )
    return Drawing(f"{section.stem}_{metric}_over_training", figure, statement, reading + cut)


def over_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> list[Drawing]:
    """A figure for every distance of the sweep: one facet a solver."""
    metrics = {name for name in section.sweep.metric if name in ("w2", "fid") or name.startswith("fd_")}
    return [_sweep(section, metric) for metric in sorted(metrics, key=vocabulary.order)]


def _sweep(section: Section, metric: str) -> Drawing:
    import seaborn

    about = vocabulary.metric(metric)
    rows = _of_one_kind(section.sweep[section.sweep.metric == metric])
    # An adaptive solver needs another NFE for every seed: seeds are joined by tolerance, at their mean NFE.
    rows = rows.assign(accuracy=[str(s.get("rtol") or s.get("steps")) for s in rows.parsed])
    rows = rows.assign(nfe=rows.groupby(["variant", "solver", "accuracy"]).nfe.transform("mean"))
    fixed = rows.loc[["steps" in s for s in rows.parsed]]
    solvers = sorted(set(rows.solver), key=lambda name: (SOLVERS.index(name) if name in SOLVERS else 99, name))
    width = (WIDTH - 0.75 - LEGEND - 0.14 * (len(solvers) - 1)) / len(solvers)
    figure, axes = sheet(1, len(solvers), (width, 3.3), (0.14, 0), left=0.75, right=LEGEND, bottom=0.6)
    for one, solver in zip(axes[0], solvers, strict=True):
        part = rows[rows.solver == solver]
        look = line_looks(section, part.variant)
        seaborn.lineplot(part, x="nfe", y="value", hue="variant", style="variant", ax=one, **look)
        in_steps = bool(part.index.isin(fixed.index).all())
        nfe = fixed.nfe if in_steps else part.nfe
        one.set(xscale="log", xlim=(nfe.min() / 1.2, nfe.max() * 1.2), xlabel="NFE [evaluations]", ylabel="")
        if (rows.value > 0).all():
            one.set_yscale("log")
        one.set_title(solver, weight="bold")
        cut = limit(one, rows.groupby(["variant", "solver", "nfe"]).value.mean())
        plain_log(one.xaxis, nfe if in_steps else ())
        plain_log(one.yaxis)
        one.tick_params(labelleft=one is axes[0][0])
    axes[0][0].set_ylabel(_axis(rows, about))
    statement, order = _sweep_said(section, rows, about)
    legend(section, axes[0][-1], dict.fromkeys(order, ""), "")
    reading = (
        "Both axes are logarithmic. One facet a solver; a fixed-step solver spends NFE in equal steps, dopri5 is run "
        "at falling tolerances. Where a curve levels out, the model's error is left and more evaluations are wasted."
    )
    return Drawing(f"{section.stem}_{metric}_over_nfe", figure, statement, reading + cut)


def _sweep_said(section: Section, rows: "DataFrame", about: vocabulary.Metric) -> tuple[str, list[str]]:
    """The leader at the smallest NFE that all variants were measured at, and the variants from best to worst there."""
    means = rows.groupby(["variant", "solver", "nfe"]).value.mean().reset_index()
    everyone = means.variant.nunique()
    shared = means[means.groupby(["solver", "nfe"]).variant.transform("nunique") == everyone]
    ascending = about.better != "higher"
    if shared.empty:
        order = means.groupby("variant").value.min().sort_values(ascending=ascending)
        return f"{about.title} against evaluations of the velocity field", [str(v) for v in order.index]
    budget = shared.nfe.min()
    at = shared[shared.nfe == budget].sort_values("value", ascending=ascending).drop_duplicates("variant")
    best = at.iloc[0]
    name = section.labels[best.variant]
    lead = f"the {about.superlative} mean {about.title}, {best.value:.3g} by {best.solver}"
    statement = f"At {budget:g} evaluations {name} has {lead}"
    return statement if everyone > 1 else f"{about.title} against evaluations", list(at.variant)


def _of_one_kind(rows: "DataFrame") -> "DataFrame":
    """The rows of the settings that most rows share: a line never joins numbers of different settings."""
    kind = [
        json.dumps([{k: v for k, v in s.items() if k not in WHERE}, None if math.isnan(n or 0) else n], sort_keys=True)
        for s, n in zip(rows.parsed, rows.n, strict=True)
    ]
    rows = rows.assign(kind=kind)
    return rows[rows.kind == rows.kind.mode().iloc[0]]


def _axis(rows: "DataFrame", about: vocabulary.Metric) -> str:
    n = rows.n.dropna()
    points = f", n = {int(n.iloc[0]):,}" if len(n) else ""
    return f"{about.title}{f' [{about.unit}]' if about.unit else ''}{points}"
