"""A forked interpreter is as a new one to whoever starts it."""

import subprocess
import sys

import pytest
import warm

HASTY = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.default_int_handler)
for _ in range(100):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM
"""


@pytest.mark.slow
def test_a_signal_right_after_the_start_ends_it() -> None:
    with warm.interpreters():
        subprocess.run([sys.executable, "-c", HASTY], check=True, timeout=120)
