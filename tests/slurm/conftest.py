"""The fake jobs are those of tests/launch."""

import sys
from pathlib import Path

FAKE_JOBS = Path(__file__).parents[1] / "launch"
sys.path.append(str(FAKE_JOBS))
