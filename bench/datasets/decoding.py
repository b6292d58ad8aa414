"""The one rule by which an image file becomes 8-bit RGB pixels.

1. The first frame counts.
2. The orientation that EXIF states is applied.
3. A grey value v of 16 bits becomes round(v / 257). Of 16 bits in colours, or beside an opacity, Pillow keeps the upper
   byte, v // 256.
4. Bilevel, palette, grey, CMYK and YCbCr images become RGB by Pillow's conversion. Colour profiles are not applied.
5. What is transparent lies on white: round((a c + (255 - a) 255) / 255) for a colour c of opacity a. A palette entry
   or colour that is declared transparent counts too, except greys of 2 or 4 bits and colours of 16, as Pillow has it.

Values of 32 bits and floats have no known range and are refused.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def decoded(path: Path, data: bytes | None = None) -> "Image":
    """The image in a file, or in `data`, of mode RGB; UsageError for none, one not whole, or of no known range."""
    from PIL import Image, ImageOps

    try:
        # Of a path Pillow 13 maps a TIFF, and then mixes up the sides of one that EXIF turns.
        with path.open("rb") if data is None else BytesIO(data) as stream, Image.open(stream) as file:
            return _rgb(ImageOps.exif_transpose(file), file.format)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except Exception as error:  # Pillow's decoders fail in many ways
        raise UsageError(f"{path}: not an image, or not whole: {error or type(error).__name__}") from error


def _rgb(image: "Image", kind: str | None) -> "Image":
    """An image of any mode as RGB; `kind` is the format of its file."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNG"):  # "I" before Pillow 11
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide + 128) // 257).astype(np.uint8)
        if (clear := image.info.get("transparency")) is not None:
            grey[wide == clear] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        raise UsageError(f"values of mode {image.mode!r} (32 bits or floats) have no known range; 8 or 16 bits have")
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = np.asarray(image.convert("RGBA")).astype(np.uint32)
    colour, opacity = pixels[..., :3], pixels[..., 3:]
    return Image.fromarray(((opacity * colour + (255 - opacity) * 255 + 127) // 255).astype(np.uint8))
