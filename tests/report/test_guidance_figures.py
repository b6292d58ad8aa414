"""Quality against diversity over the scale of guidance: which rows are a line, and where its points stand."""

import math
from typing import Any

import pytest
from synthetic import drawings, section

from bench.report.plots.guidance import scaled
from bench.samplers.dpm_solver_pp import DPMSolverPlusPlus

METHODS = {"cifar10-fm_ot-0a1b2c": ("fm_ot", "FM w/ OT"), "cifar10-ddpm-0a1b2c": ("ddpm", "DDPM")}
SCALES = (0.0, 1.0, 2.0, 2.123456789, 4.5)
SHARED = {"batch": 100, "weights": "ema", "labels": "balanced", "split": "train", "extractor": "inception"}


def rows(metrics: tuple[str, ...] = ("fid", "precision", "recall", "density", "coverage")) -> list[dict[str, Any]]:
    """Of every method a headline row by dopri5, and by dpm_solver_pp precision 0.5 + w / 10 and recall 0.9 - w / 10."""
    found = []
    for variant, (baseline, label) in METHODS.items():
        known = {"variant": variant, "baseline": baseline, "label": label}
        for metric in metrics:
            sign = -1 if metric in ("recall", "coverage") else 1
            found.append({**known, "metric": metric, "settings": {"sampler": "dopri5", "rtol": 1e-5, **SHARED}})
            for scale in SCALES:
                name = DPMSolverPlusPlus(guidance=scale).label
                settings = {"sampler": name, "steps": 20, **SHARED, **({} if scale == 1 else {"guidance": scale})}
                value = (0.5 if sign > 0 else 0.9) + sign * scale / 10 + 0.02 * (baseline == "ddpm")
                found.append({**known, "metric": metric, "settings": settings, "value": value})
    return found


def test_a_line_is_a_sampler_at_two_scales_or_more() -> None:
    found = scaled(section(rows()))
    assert set(found.line) == {f"{variant}: dpm_solver_pp, 20 steps" for variant in METHODS}
    assert sorted(set(found.scale)) == [*SCALES]
    assert scaled(section([row for row in rows() if "guidance" not in row["settings"]])).empty


def test_points_stand_at_their_diversity_and_quality_and_are_named_by_their_scale() -> None:
    (drawing,) = drawings(rows(), "guidance")
    first, second = drawing.figure.axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("Recall, higher is better", "Precision, higher is better")
    assert second.get_xlabel().startswith("Coverage")
    lines = {line.get_color(): line.get_xydata() for line in first.lines}
    assert len(lines) == 2
    for w, (x, y) in zip(SCALES, next(iter(lines.values())), strict=True):
        assert x == pytest.approx(0.9 - w / 10) and y == pytest.approx(0.5 + w / 10)
    assert [text.get_text() for text in first.texts] == ["0", "1", "2", "2.12346", "4.5"] * 2


def test_every_metric_has_a_panel_over_the_scale() -> None:
    (drawing,) = drawings(rows(), "guidance_scale")
    labels = [axes.get_ylabel().split(",")[0] for axes in drawing.figure.axes]
    assert labels == ["FID", "Precision", "Recall", "Density", "Coverage"]
    assert [*drawing.figure.axes[1].lines[0].get_xdata()] == [*SCALES]


def test_what_is_lost_is_a_cross_and_no_scale_is_no_figure() -> None:
    made = rows(("fid",))
    made[-1] |= {"value": math.nan, "reason": "diverged: dpm_solver_pp"}
    (drawing,) = drawings(made, "guidance_scale")
    assert "DDPM (1 diverged)" in drawing.reading
    made = rows(("precision", "recall"))
    made[-1] |= {"value": math.nan, "reason": "diverged: dpm_solver_pp"}
    (drawing,) = drawings(made, "guidance")
    assert drawing.reading.endswith("Without a point: values that could not be had, DDPM (1 diverged).")
    assert drawings(rows(("fid",)), "guidance") == []  # of one metric alone there is no pair
    plain = [row for row in rows() if "guidance" not in row["settings"]]
    assert drawings(plain, "guidance") == drawings(plain, "guidance_scale") == []


@pytest.mark.parametrize("name", ["guidance", "guidance_scale"])
def test_what_has_no_guidance_has_neither_cross_nor_name(name: str) -> None:
    """A generator, whose samples no sampler draws, and a method told no classes, which has no scale but 1."""
    own = rows(("precision", "recall"))
    made = [*own]
    for baseline, applicable in (("gan", ()), ("ddpm", (1.0,))):
        for row in own[: len(own) // 2]:
            other = {"variant": f"cifar10-{baseline}-ffffff", "baseline": baseline, "label": f"{baseline} plain"}
            scale = row["settings"].get("guidance", 1.0)
            lost = {} if scale in applicable else {"value": math.nan, "reason": "not applicable: it has no guidance"}
            made.append({**row, **other, **lost})
    (drawing,) = drawings(made, name)
    legends = [axes.get_legend() for axes in drawing.figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legends[0].get_texts()] == ["FM w/ OT", "DDPM"]
    assert "could not be had" not in drawing.reading
    assert not any(line.get_marker() == "x" for axes in drawing.figure.axes for line in axes.lines)
