"""The digits against scikit-learn's own loader."""

from pathlib import Path

import pytest
import torch

from bench.config.registry import datasets
from bench.datasets import digits
from bench.errors import UsageError


@pytest.mark.slow
def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    data = datasets["digits"](Path("unused"))
    assert data.shape == (1, 8, 8) and data.levels == 17 and data.extractor == "digits_cnn"
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.train.dtype == torch.uint8 and int(data.train.max()) == 16
    ours = torch.cat(
        [
            torch.cat([data.train.flatten(1), data.test.flatten(1)]),
            torch.cat([data.train_labels, data.test_labels]).unsqueeze(1).to(torch.uint8),
        ],
        1,
    )
    theirs = torch.cat([torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).unsqueeze(1)], 1)
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.to(torch.uint8).tolist()))


def test_the_split_never_moves():
    """Another split would make old records compare with nothing: it needs another version."""
    data = datasets["digits"](Path("unused"))
    assert (data.version, data.checksum) == ("1", "cc25a67fcab65485")
    assert data.test_labels.dtype == torch.int64
    assert data.test_labels.bincount().tolist() == [28, 37, 30, 36, 39, 38, 34, 42, 38, 38]


def test_other_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(UsageError, match=r"digits\.csv\.gz: sha256 of its text is 6ebb3d2f.*reinstall scikit-learn"):
        datasets["digits"](Path("unused"))
