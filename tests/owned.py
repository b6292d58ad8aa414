"""Small data of one's own in files: a folder of images, Parquet files and a table of points, two classes each."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

OPTIONS: dict[str, dict[str, Any]] = {
    "folder": {"path": "photos", "size": 8, "channels": 1},
    "parquet": {"path": "shards", "size": 8, "channels": 1},
    "points": {"path": "points.csv", "label": "kind", "validation": 0.2},
}


def write(data_dir: Path, n: int = 160) -> None:
    """What the datasets of OPTIONS read: n samples each."""
    rng = np.random.default_rng(0)
    kinds = [*np.arange(n) % 2]
    pixels = (rng.integers(0, 128, (n, 8, 8)) + 100 * np.array(kinds)[:, None, None]).astype(np.uint8)
    files = []
    for i, (image, kind) in enumerate(zip(pixels, kinds, strict=True)):
        path = data_dir / "photos" / "ab"[kind] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        memory = io.BytesIO()
        Image.fromarray(image).save(memory, "PNG")
        files.append(memory.getvalue())
        path.write_bytes(files[-1])
    (data_dir / "shards").mkdir()
    table = pa.table({"image": [{"bytes": file, "path": None} for file in files], "label": kinds})
    parquet.write_table(table, data_dir / "shards" / "train-00000-of-00001.parquet")
    rows = [f"{x},{y},{kind}" for (x, y), kind in zip(rng.normal([100, -1], [9, 0.1], (n, 2)), kinds, strict=True)]
    (data_dir / "points.csv").write_text("\n".join(["mass,charge,kind", *rows]), encoding="utf-8")
