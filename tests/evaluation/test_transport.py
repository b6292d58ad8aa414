"""W2 between noise and data: what it is, and that it is found once for all methods."""

from pathlib import Path

import pytest
import torch

from bench.errors import UsageError
from bench.evaluation import transport as module
from bench.evaluation.transport import transport
from bench.metrics.extractors import cache
from bench.metrics.npe import npe

NOISE, DATA = torch.zeros(4, 2), torch.tensor([[3.0, 4.0]]).expand(4, 2)


def test_it_is_found_once_for_the_same_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport(NOISE, DATA, tmp_path) == 5.0
    monkeypatch.setattr(module, "wasserstein2", lambda *_: 7.0)
    assert transport(NOISE.clone(), DATA.contiguous(), tmp_path) == 5.0
    assert transport(NOISE + 1, DATA, tmp_path) == 7.0 == transport(DATA, NOISE, tmp_path)
    assert len(list((tmp_path / "transport").glob("w2-*.npz"))) == 3


def test_where_nothing_can_be_kept_it_is_found_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Path:
        raise UsageError("it can be kept nowhere")

    monkeypatch.setattr(cache, "kept", refused)
    assert transport(NOISE, DATA, tmp_path) == 5.0 and not list(tmp_path.iterdir())


def test_npe_is_relative_to_its_square() -> None:
    assert npe(30.0, 5.0) == pytest.approx(0.2) == npe(20.0, 5.0) and npe(25.0, 5.0) == 0
