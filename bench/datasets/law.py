"""Laws whose log-density and score are closed forms, of the data and of the data with noise.

With x1 of such a law and x0 ~ N(0, I), x_t = alpha x1 + sigma x0 has one, too (`blurred`), and with its score the
velocity of a Gaussian path is exact (bench/methods/marginal.py). A law is a mixture sum_k w_k p_k(x).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 2**21  # float64 numbers that a density holds at once in one tensor: 16 MiB


class Law(ABC):
    """A mixture with weights (K,), and the means (K, D) of its components, float64."""

    weights: Tensor
    means: Tensor

    @abstractmethod
    def parts(self, x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        """log p_k(x), (B, K), and what computes its gradient, (B, K, D), at x, float64 (B, D)."""

    @abstractmethod
    def blurred(self, alpha: Tensor, sigma: Tensor) -> "Law":
        """The law of alpha x + sigma e with e ~ N(0, I), for numbers alpha and sigma above 0."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of x, shape (B, D) -> (B,), computed in float64 and given in the dtype of x."""
        logs = self.weights.log().to(x.device)
        return self._of(x, lambda part: torch.logsumexp(logs + self.parts(part)[0], 1))

    def score(self, x: Tensor) -> Tensor:
        """grad log p(x), (B, D) -> (B, D): the mean gradient over components by their posterior probabilities."""
        weights = self.weights.log().to(x.device)

        def mean(part: Tensor) -> Tensor:
            logs, slopes = self.parts(part)
            return ((weights + logs).softmax(1).unsqueeze(2) * slopes()).sum(1)

        return self._of(x, mean)

    def _of(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        return in_chunks(lambda part: function(part.double()), x, self.means.numel()).to(x.dtype)


def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor, width: int) -> Tensor:
    """function(x), shape (B, ...), computed a part of x at a time where one point takes `width` numbers."""
    return torch.cat([function(part) for part in x.split(max(1, CHUNK // width))])
