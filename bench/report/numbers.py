"""How numbers are written: as many digits as their interval supports, four where there is none."""

import math

HUGE = 1e9  # from here on a power of ten says more than digits


def decimals(half_width: float) -> int:
    """Digits after the point: one significant digit of the half-width, two where it begins with 1."""
    exponent = math.floor(math.log10(half_width))
    return -exponent + (half_width / 10**exponent < 1.95)


def parts(mean: float, half_width: float, n: int | None = None) -> tuple[str, str]:
    """("3.824", "± 0.013"), ("44,500", "± 300"), ("38", "± 0"), ("38", "(n=1)") of one seed, ("38", "")."""
    if n == 1:
        return plain(mean), "(n=1)"
    if not math.isfinite(half_width):
        return plain(mean), ""
    if half_width <= 1e-9 * abs(mean):
        return plain(mean), "± 0"
    if max(abs(mean), half_width) >= HUGE:
        return _rough(mean), f"± {_rough(half_width)}"
    digits = decimals(half_width)
    if mean and abs(mean) < half_width:  # keep a first digit of the mean, as long as it is near
        digits = min(max(digits, -math.floor(math.log10(abs(mean)))), digits + 1)
    return fixed(mean, digits), f"± {fixed(half_width, digits)}"


def measured(mean: float, half_width: float, n: int | None = None) -> str:
    """ "3.824 ± 0.013", "38 (n=1)"."""
    return " ".join(filter(None, parts(mean, half_width, n)))


def _rough(value: float) -> str:
    return f"{value:.0e}".replace("e+", "e").replace("-", "−") if abs(value) >= HUGE else plain(value, 2)


def mean(value: float, half_width: float) -> str:
    """The mean alone, with the digits that its interval supports."""
    return parts(value, half_width)[0] if math.isfinite(half_width) else plain(value, 3)


def plain(value: float, digits: int = 4) -> str:
    """A number to four significant digits; whole numbers in full."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "NaN"
    if value == 0:
        return "0"
    if value == round(value) and abs(value) < HUGE:
        return fixed(value, 0)
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 9:
        return fixed(value, digits - 1 - exponent)
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(power)}".replace("-", "−")


def fixed(value: float, digits: int) -> str:
    """Rounded to `digits` after the point, or to tens, hundreds, ... where negative; thousands set apart."""
    return f"{round(value, digits):,.{max(digits, 0)}f}".replace("-", "−")


def effect(mean: float, low: float, high: float, scale: str, unit: str) -> str:
    """A difference or ratio with its interval, to two digits of the interval's width: "−0.04 [−0.05, −0.03] nats".

    What of a ratio would be 0 to so many digits is a power of ten: "× 2e−7 [3e−21, 0.0069]".
    """
    width = high - low if math.isfinite(high - low) and high > low else abs(mean) / 10 or 1.0
    digits = max(0, 1 - math.floor(math.log10(max(width, 1e-9))))
    sign = "+" if scale == "difference" else ""

    def shown(x: float) -> str:
        if scale == "ratio" and 0 < x < 0.5 * 10.0**-digits:
            mantissa, power = f"{x:.0e}".split("e")
            return f"{mantissa}e−{-int(power)}"
        return (f"{x:{sign}.{digits}f}" if abs(x) < HUGE else f"{x:{sign}.1e}").replace("e+", "e").replace("-", "−")

    interval = f" [{shown(low)}, {shown(high)}]" if math.isfinite(high - low) else ""
    return f"{'× ' if scale == 'ratio' else ''}{shown(mean)}{interval} {unit}".rstrip()
