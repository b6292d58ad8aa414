"""The density that each model has learnt, in the plane of two-dimensional data."""

from bench.report.artefacts import absent
from bench.report.canvas import ONE_DRAWN
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.planes import STRUCK, colour_bar, extent_of, is_lost, panels
from bench.report.planes import densities as kept
from bench.report.style import MUTED


@register_figure("densities", title="The density that each model has learnt", arrays={"log_densities": 3}, place=90)
def densities(data: FigureData) -> Drawing | None:
    """One heat map of the model's density a baseline, on one scale, beside held-out data."""
    import numpy as np
    import seaborn

    maps = [kept(exhibit)[-1] for exhibit in data.exhibits]
    tops = [np.nanquantile(density, 0.995) for density in maps if not is_lost(density)]
    if not tops:
        return None
    held_out = next((e.arrays["data"].astype(float) for e in data.kept({"data": 2})), None)
    colours = seaborn.color_palette("mako", as_cmap=True)
    scale = {"vmin": 0, "vmax": float(np.median(tops)), "interpolation": "bilinear", "cmap": colours}
    figure, axes = panels(data.exhibits, data.ends("nll_nats"), held_out is not None, right=0.62)
    shown = axes[-len(data.exhibits) :]
    for one, exhibit, density in zip(shown, data.exhibits, maps, strict=True):
        extent = extent_of(exhibit)
        image = one.imshow(density, origin="lower", extent=(-extent, extent, -extent, extent), **scale)
        if is_lost(density):
            one.plot([0], [0], "x", color=MUTED, markersize=18, markeredgewidth=2.5)
    if held_out is not None:
        axes[0].set_facecolor(colours(0.0))
        axes[0].scatter(
            held_out[:, 0], held_out[:, 1], s=1.6, color=colours(0.95), linewidths=0, alpha=0.8, rasterized=True
        )
    colour_bar(figure, image, shown[-1].get_position(), 0.12, "density per unit area")
    reading = (
        "exp(log p(x)) from the instantaneous change of variables, the same colour scale in every panel. Density "
        "between the data's regions is probability that the model wastes."
    )
    reading += STRUCK * any(map(is_lost, maps)) + absent(data.section, data.exhibits, "likelihood")
    return Drawing(figure, reading=reading, note=ONE_DRAWN)
