"""Each kind of image file by the one rule, with values worked out by hand."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets.decoding import decoded
from bench.datasets.imagefolder import image_parts
from bench.errors import UsageError

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, depth: int, colour: int, row: bytes, *more: bytes) -> bytes:
    """A PNG of one row, with chunks before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + end


def wide(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


COLOURS = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))


@pytest.mark.parametrize(
    ("data", "pixels"),
    {
        "grey of 16 bits": (png(4, 16, GREY, wide(0, 1000, 32768, 65535)), [0, 4, 128, 255]),
        "and its transparent value": (png(2, 16, GREY, wide(1000, 257), chunk(b"tRNS", wide(1000))), [255, 1]),
        "colours of 16 bits": (png(1, 16, RGB, wide(65535, 1000, 300)), [[255, 3, 1]]),
        "grey with opacity of 16 bits": (png(1, 16, GREY_ALPHA, wide(65535, 65535)), [255]),
        "grey of 2 bits": (png(4, 2, GREY, b"\x1b"), [0, 85, 170, 255]),
        "black and white": (png(8, 1, GREY, b"\xb1"), [255, 0, 255, 255, 0, 0, 0, 255]),
        "transparent black": (png(8, 1, GREY, b"\xb1", chunk(b"tRNS", wide(0))), [255] * 8),
        "palette": (png(2, 8, PALETTE, b"\0\1", COLOURS), [[10, 20, 30], [40, 50, 60]]),
        "palette with opacities": (
            png(2, 8, PALETTE, b"\0\1", COLOURS, chunk(b"tRNS", b"\0\x80")),
            [[255, 255, 255], [147, 152, 157]],  # (128 c + 127 * 255) / 255
        ),
        "grey with opacity": (png(3, 8, GREY_ALPHA, bytes([9, 255, 9, 0, 100, 77])), [9, 255, 208]),
        "colour with opacity": (png(1, 8, RGBA, bytes([0, 100, 255, 128])), [[127, 177, 255]]),
        "a transparent grey": (png(2, 8, GREY, b"\7\x09", chunk(b"tRNS", wide(7))), [255, 9]),
        "a transparent colour": (
            png(2, 8, RGB, bytes([1, 2, 3, 4, 5, 6]), chunk(b"tRNS", wide(1, 2, 3))),
            [[255, 255, 255], [4, 5, 6]],
        ),
    }.values(),
)
def test_kinds_of_png(tmp_path: Path, data: bytes, pixels: list) -> None:
    (tmp_path / "image.png").write_bytes(data)
    image = decoded(tmp_path / "image.png")
    assert image.mode == "RGB"
    expected = [value if isinstance(value, list) else [value] * 3 for value in pixels]
    assert np.asarray(image).tolist() == [expected]


CMYK = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red
SIXTEEN = Image.fromarray(np.array([[0, 1000, 65535]], dtype=np.uint16))


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("a.tif", SIXTEEN, [[0] * 3, [4] * 3, [255] * 3]),
        ("a.tiff", CMYK, [[255, 0, 0]] * 8),
        ("a.jpg", CMYK, [[255, 0, 0]] * 8),
        ("a.bmp", Image.new("1", (2, 1), 1), [[255] * 3] * 2),
        ("a.webp", Image.new("RGBA", (2, 1), (7, 8, 9, 0)), [[255] * 3] * 2),
        ("a.gif", Image.new("L", (2, 1), 77), [[77] * 3] * 2),
        ("a.tif", Image.new("LA", (2, 1), (100, 77)), [[208] * 3] * 2),
    ],
)
def test_other_types_and_modes(tmp_path: Path, name: str, image: Image.Image, expected: list) -> None:
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    assert np.asarray(decoded(tmp_path / name))[0].tolist() == expected


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    first, second = (Image.new("RGB", (4, 4), (grey,) * 3) for grey in (51, 204))
    first.save(tmp_path / name, save_all=True, append_images=[second], **({"lossless": True} if "webp" in name else {}))
    assert np.asarray(decoded(tmp_path / name)).max() == 51


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in ("a.jpg", "a.png", "a.webp", "a.tif") for mode in ("RGB", "L")]
    + [("a.png", "I;16"), ("a.tif", "I;16")],  # the others have 8 bits
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, name: str, mode: str, orientation: int) -> None:
    """A dark block of 16 x 8 in the corner that EXIF says is the upper left one, seen along the row."""
    upright = np.full((32, 48), 255, dtype=np.uint8)
    upright[:8, :16] = 0
    back = {  # what the file holds, so that turning it by its orientation gives `upright`
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright.T, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    image = Image.fromarray(back.astype(np.uint16) * 257 if mode == "I;16" else np.ascontiguousarray(back))
    if mode == "RGB":
        image = image.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / name, exif=exif)
    found = np.asarray(decoded(tmp_path / name))
    assert found.shape == (32, 48, 3)
    assert np.abs(found.astype(int) - upright[..., None]).mean() < 3  # JPEG and WebP blur the edges


def test_what_python_does_with_warnings_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow warns of more, and refuses twice as many
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    with warnings.catch_warnings(action="error"):
        (part,) = image_parts(tmp_path, ".", 4, crop=True)
        images, labels = part.read()
    assert images.tolist() == np.full((1, 3, 4, 4), 7).tolist() and labels is None


@pytest.mark.parametrize("image", [Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 70_000)])
def test_values_of_no_known_range_are_refused(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=r"a\.tif: values of mode .* have no known range"):
        decoded(tmp_path / "a.tif")


@pytest.mark.parametrize("data", [b"", b"no image", png(4, 16, GREY, wide(0, 1, 2, 3))[:50]])
def test_what_is_no_whole_image_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.png: not an image, or not whole: ") as caught:
        decoded(tmp_path / "a.png")
    assert "\n" not in str(caught.value)
