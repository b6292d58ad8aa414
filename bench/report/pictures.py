"""The figures of a page as data URIs: crisp, and few enough bytes that a suite's page still opens at once.

A figure is flat colour and thin lines, so PNG with a palette of 256 keeps it sharp at a fifth to a half of its bytes,
without WebP's long search: per figure of 10 x 5 inches at 150 DPI 0.04 s and 30 to 60 kB, 200 kB for clouds of points.
What a page has too much of is taken from its largest figures, the clouds, where softer edges show least.
"""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

BUDGET = 8_400_000  # bytes of pictures on a page; written as text they take a third more
SOFTER = (0.6, 0.4)


class Picture(NamedTuple):
    """A saved drawing: its file's name, its dataset, what it states, how to read it, and its PNG file's bytes."""

    name: str
    dataset: str
    statement: str
    reading: str
    png: bytes


class Image(NamedTuple):
    """What an <img> needs: its source, and the width and height in pixels that hold its place before it loads."""

    source: str
    width: int
    height: int


def embedded(pictures: Sequence[Picture]) -> dict[str, Image]:
    """The image of each picture by its name: as it was saved, and smaller WebP of the largest ones beyond BUDGET."""
    packages = [picture.png for picture in pictures]
    kinds = ["png"] * len(packages)
    excess = sum(map(len, packages)) - BUDGET
    for scale in SOFTER:
        for i in sorted(range(len(packages)), key=lambda i: -len(packages[i])):
            if excess > 0 and len(softer := _softer(pictures[i].png, scale)) < len(packages[i]):
                excess -= len(packages[i]) - len(softer)
                packages[i], kinds[i] = softer, "webp"
    return {
        picture.name: Image(f"data:image/{kind};base64,{base64.b64encode(package).decode()}", *_size(picture.png))
        for picture, package, kind in zip(pictures, packages, kinds, strict=True)
    }


def palette(png: bytes) -> bytes:
    """The picture in 256 colours."""
    import PIL.Image as pil

    image = pil.open(io.BytesIO(png)).convert("RGB")
    flat = image.quantize(256, method=pil.Quantize.FASTOCTREE, dither=pil.Dither.NONE)
    parts = flat.getpalette() or []
    for i in range(0, len(parts), 3):
        if min(parts[i : i + 3]) > 250:  # paper, averaged with the lightest greys: white again, as the page around it
            parts[i : i + 3] = [255] * 3
    flat.putpalette(parts)
    buffer = io.BytesIO()
    flat.save(buffer, "PNG", compress_level=6)  # 9 takes three times as long for 6% less
    return buffer.getvalue()


def _softer(png: bytes, scale: float) -> bytes:
    import PIL.Image as pil

    image = pil.open(io.BytesIO(png)).convert("RGB")
    small = image.resize((round(image.width * scale), round(image.height * scale)), pil.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=60, method=1)
    return buffer.getvalue()


def _size(png: bytes) -> tuple[int, int]:
    import PIL.Image as pil

    return pil.open(io.BytesIO(png)).size
