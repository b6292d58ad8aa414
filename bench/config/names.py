"""How names say options, and the one place where a name (of a run, dataset, suite, measurement) becomes that of a file,
a job or a heading.
"""

import hashlib
import re
from typing import Any

LENGTH = 160  # a file system takes 255 bytes, and prefixes and suffixes come on top


def safe_name(text: str) -> str:
    """`text` where it is plain, else what is plain of it and a hash that keeps distinct texts distinct.

    Plain are ASCII letters and digits and `. _ + = -`, neither a dot nor a dash first, 1 to LENGTH characters. So a
    name leads into no other folder, is no option of a command, hides no file and meets no pattern of a shell or Slurm.
    """
    plain = re.sub(r"[^A-Za-z0-9._+=-]", "_", text)
    plain = re.sub(r"^[.-]", "_", plain)[:LENGTH]
    if plain == text and text:
        return text
    # A lone surrogate stands for a byte that is not UTF-8 in a file's name.
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: LENGTH - len(mark) - 1] or '_'}-{mark}"


def word(option: str, value: Any) -> str:
    """An option in a name: "guidance2.5", "churn10", or a text by itself."""
    return value if isinstance(value, str) else f"{option}{value}".removesuffix(".0")
