"""Numbers with their errors, and units, as HTML."""

import math
import re

from markupsafe import Markup

# Larger and smaller numbers are written with a power of ten.
LARGEST, SMALLEST = 5, -4


def number(value: float, error: float | None = None) -> Markup:
    """A number, rounded to two digits of its error where it has one, else to four digits.

    Examples
    --------
    >>> print(number(0.18075, 0.0083))
    0.1807 ± 0.0083
    >>> print(number(1.2345e29, 4e27))
    (1.234 ± 0.040) × 10<sup>29</sup>
    """
    if not math.isfinite(value):
        return Markup("—")
    known = error is not None and math.isfinite(error) and error > 0
    largest = max(abs(value), error) if known and error is not None else abs(value)
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    power = power if power >= LARGEST or power <= SMALLEST else 0
    scaled = value / 10.0**power
    if known and error is not None:
        decimals = max(0, 1 - math.floor(math.log10(error / 10.0**power)))
        text = f"{scaled:.{decimals}f} ± {error / 10.0**power:.{decimals}f}".replace("-", "−")
        text = f"({text})" if power else text
    else:
        text = f"{scaled:.4g}".replace("-", "−")
    return Markup(text) + (Markup(" × 10<sup>{}</sup>").format(_signed(power)) if power else "")


def unit(text: str) -> Markup:
    """A unit: powers raised, indices lowered, what follows a stroke with a negative power.

    Examples
    --------
    >>> print(unit("rad / m2"), unit("v d_i"))
    rad m<sup>−2</sup> <i>v</i> <i>d</i><sub>i</sub>
    """
    if text in ("", "1"):
        return Markup("")
    if not re.fullmatch(r"[\w.]+( [\w.]+)*( / [\w.]+)?", text) or text == "code units":
        return Markup.escape(text)
    above, _, below = text.partition(" / ")
    factors = [_factor(word, 1) for word in above.split()] + [_factor(word, -1) for word in below.split()]
    return Markup(" ").join(factors)


def quantity(value: float, of: str = "", error: float | None = None) -> Markup:
    """A number with its error and its unit."""
    written = number(value, error)
    if not of or of == "1" or not math.isfinite(value):
        return written
    if "±" in written and not written.startswith("("):
        written = Markup("({})").format(written)
    return written + Markup(" ") + unit(of)


def _factor(word: str, sign: int) -> Markup:
    """One unit with its power; a name of a code's unit, such as ``d_i`` or ``B0``, has an index instead."""
    name, index, power = word, "", sign
    if found := re.fullmatch(r"([A-Za-z])(?:_(\w+)|(0))", word):
        name, index = found[1], found[2] or found[3]
    elif found := re.fullmatch(r"([^\W\d]+)(\d+)", word):
        name, power = found[1], sign * int(found[2])
    own = bool(index) or word == "v"
    written = Markup("<i>{}</i>").format(name) if own else Markup.escape(name)
    written += Markup("<sub>{}</sub>").format(index) if index else ""
    return written + (Markup("<sup>{}</sup>").format(_signed(power)) if power != 1 else "")


def _signed(power: int) -> str:
    return str(power).replace("-", "−")
