"""The figures of a page as data URIs: crisp, and few enough bytes that a page stays below LARGEST and opens at once.

A figure is flat colour and thin lines, so PNG with a palette of 256 keeps it sharp at a fifth to a half of its bytes,
without WebP's long search: per figure of 10 x 5 inches at 150 DPI 0.04 s and 30 to 60 kB, 200 kB for clouds of points.
What a page has too much of is taken from its largest figures first, the clouds, where softer edges show least. At half
its size a figure is still read without effort; the file beside the page has all of it. The few figures of a whole suite
lead the page and stay crisp: only those of one dataset grow in number with the datasets.
"""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import PIL.Image as pil

OVERVIEW, PUBLISHED, SUITE = (
    "(overview)",
    "(published)",
    "",
)  # the dataset of a picture of all of them, the name of none
LARGEST = 2_900_000  # bytes of a page, unless its text, its figures of the suite and LEAST for each other are more
LEAST = 12_000
SOFTER = ((0.6, 60), (0.5, 30), (0.45, 15), (0.35, 10))  # shares of the size, and qualities of WebP


class Picture(NamedTuple):
    """A saved drawing: its file's name, its dataset, what it shows, how to read it, and its PNG file's bytes."""

    name: str
    dataset: str
    title: str
    reading: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return pil.open(io.BytesIO(self.png)).size

    @property
    def of_suite(self) -> bool:
        return self.dataset in (OVERVIEW, PUBLISHED, SUITE)


def embedded(pictures: Sequence[Picture], text: int) -> dict[str, str]:
    """Each picture's image by its name, the largest of one dataset smaller if all do not fit beside `text` bytes."""
    packages = [picture.png for picture in pictures]
    kinds = ["png"] * len(packages)
    yielding = [i for i, picture in enumerate(pictures) if not picture.of_suite]
    crisp = sum(len(picture.png) for picture in pictures if picture.of_suite)
    room = max((LARGEST - text) * 3 // 4 - crisp, LEAST * len(yielding))  # base64 takes a third more than what it holds
    excess = sum(len(packages[i]) for i in yielding) - room
    for scale, quality in SOFTER:
        for i in sorted(yielding, key=lambda i: -len(packages[i])):
            if excess > 0 and len(softer := _softer(pictures[i].png, scale, quality)) < len(packages[i]):
                excess -= len(packages[i]) - len(softer)
                packages[i], kinds[i] = softer, "webp"
    return {
        picture.name: f"data:image/{kind};base64,{base64.b64encode(package).decode()}"
        for picture, package, kind in zip(pictures, packages, kinds, strict=True)
    }


def palette(png: bytes) -> bytes:
    """The picture in 256 colours."""
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


def _softer(png: bytes, scale: float, quality: int) -> bytes:
    image = pil.open(io.BytesIO(png)).convert("RGB")
    small = image.resize((round(image.width * scale), round(image.height * scale)), pil.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
