"""W2 between noise and data, which path energies are compared with: no method's, so it is found once.

It is kept in data_dir/transport by the points and by the code that finds it, whichever run was the first to ask.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from bench.datasets.base import digest_of
from bench.evaluation.kept import once
from bench.metrics.extractors.cache import code_of
from bench.metrics.w2 import wasserstein2


def transport(noise: Tensor, data: Tensor, data_dir: Path) -> float:
    """W2 between points (n, ...) and as many others; NotFinite if one is not."""
    name = f"w2-{digest_of(noise, data)[:16]}-{code_of('bench.metrics.w2')}.npz"
    return float(once(data_dir / "transport", name, lambda: np.array(wasserstein2(noise, data))))
