"""Workers are new interpreters: they find the fake jobs by PYTHONPATH."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _workers_find_fake_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
