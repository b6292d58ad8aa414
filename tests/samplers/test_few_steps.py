"""Samplers of learnt maps, on Gaussian data, whose flow map and consistency function have a closed form."""

import torch

from bench.config.registry import samplers
from bench.methods.model import Model
from bench.methods.paths import VariancePreserving

PATH = VariancePreserving(0.1, 5.0, t_end=0.9)
STD = 0.5


def spread(t: torch.Tensor) -> torch.Tensor:
    """Standard deviation of x_t for data of N(0, STD^2); the flow multiplies by its ratios."""
    return torch.sqrt((PATH.alpha(t) * STD) ** 2 + PATH.sigma(t) ** 2)


END = torch.tensor(PATH.t_end, dtype=torch.float64)
EXACT = Model(
    path=PATH,
    t_end=PATH.t_end,
    flow_map=lambda t, r, x: spread(r) / spread(t) * x,
    consistency=lambda t, x: spread(END) / spread(t) * x,
)


def test_an_exact_flow_map_ends_in_one_place_by_any_steps_on_any_grid() -> None:
    x0 = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    expected = spread(END) / spread(torch.zeros((), dtype=torch.float64)) * x0
    for steps, grid in ((1, "uniform"), (2, "uniform"), (4, "karras"), (3, "logsnr")):
        found = samplers["flow_map"](steps=steps, grid=grid).draw(EXACT, x0, torch.Generator())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_an_exact_consistency_function_keeps_the_law_at_the_end_of_the_path() -> None:
    x0 = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = samplers["consistency"]().draw(EXACT, x0, torch.Generator())
    torch.testing.assert_close(one, spread(END) / spread(torch.zeros((), dtype=torch.float64)) * x0)
    four = samplers["consistency"](steps=4).draw(EXACT, x0, torch.Generator().manual_seed(1))
    # Its x1, which stands for the data, is a little wider than they are, and the next one is wider by that.
    variance = spread(END) ** 2
    for t in torch.linspace(0, PATH.t_end, 5, dtype=torch.float64)[1:-1]:
        variance = (spread(END) / spread(t)) ** 2 * (PATH.alpha(t) ** 2 * variance + PATH.sigma(t) ** 2)
    assert abs(float(four.var()) / float(variance) - 1) < 0.02
    assert abs(float(torch.corrcoef(torch.cat([one, four], 1).T)[0, 1])) < 0.9
