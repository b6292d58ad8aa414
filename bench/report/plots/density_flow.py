"""The density that each model makes of the noise, along t."""

from bench.report.artefacts import absent
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.mosaic import Mosaic
from bench.report.planes import STRUCK, densities, is_lost


@register_figure(
    "density_flow",
    title="The density that each model makes of the noise, along t",
    arrays={"log_densities": 3, "density_times": 1},
    place=100,
)
def density_flow(data: FigureData) -> Drawing | None:
    """Rows of baselines, columns of time; a model with a density of its own has it at the end alone, and no row."""
    import numpy as np
    import seaborn

    flows = [e for e in data.exhibits if len(e.arrays["density_times"]) > 1]
    if not flows:
        return None
    times = flows[0].arrays["density_times"].astype(float)
    exhibits = [e for e in flows if np.allclose(e.arrays["density_times"], times, atol=1e-3)]
    maps = np.stack([densities(exhibit) for exhibit in exhibits])
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], [f"t = {time:.2g}" for time in times.round(2)])
    colours, lost = seaborn.color_palette("mako", as_cmap=True), False
    for j in range(len(times)):
        tops = [np.nanquantile(density, 0.995) for density in maps[:, j] if not is_lost(density)]
        scale = {"vmin": 0, "vmax": float(np.median(tops or [1.0])), "interpolation": "none", "cmap": colours}
        for i in range(len(exhibits)):
            if is_lost(maps[i, j]):
                mosaic.strike(i, j)
                lost = True
            else:
                mosaic.picture(i, j, maps[i, j], origin="lower", **scale)
    reading = (
        "exp(log p_t(x)) of each model by the change of variables, colours on one scale a moment. Methods on one "
        "probability path pass through the same densities when they have learnt them well, whatever loss taught them."
    )
    reading += STRUCK * lost + absent(data.section, exhibits, "likelihood")
    return Drawing(mosaic.figure, reading=reading, note="one seed drawn")
