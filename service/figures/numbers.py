"""Numbers as a figure writes them: short, distinct, with true minus signs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3, plain_below: int = 5) -> str:
    """`0.0312`, `−1`, `2.5×10⁻⁷`: at most so many significant digits.

    Args:
        plain_below: the power of ten from which on powers are written.
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -4 < power < max(plain_below, digits):
        text = f"{value:.{max(0, digits - 1 - power)}f}"
        return _trimmed(text).replace("-", "−")
    mantissa = _trimmed(mantissa).replace("-", "−")
    tens = f"10{str(power).translate(_SUPERSCRIPTS)}"
    return {"1": tens, "−1": f"−{tens}"}.get(mantissa, f"{mantissa}×{tens}")


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def labels(values: Sequence[float], *, percent: bool = False) -> list[str]:
    """Labels of ticks or levels: as few digits as keep them apart and true."""
    shown = [100 * v for v in values] if percent else list(values)
    # 10⁴ beside 10⁵, and not 10000
    plain_below = 4 if any(abs(v) >= 1e5 for v in shown) else 5
    texts: list[str] = []
    for digits in range(2, 9):
        texts = [number(v, digits, plain_below) for v in shown]
        exact = all(math.isclose(float(f"{v:.{digits - 1}e}"), v, rel_tol=1e-6) for v in shown)
        if len(set(texts)) == len(texts) and exact:
            break
    return [f"{t}%" for t in texts] if percent else texts
