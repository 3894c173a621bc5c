"""Values that stand in addresses to break what reads them, percent signs included."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

_ID: Final = "01k5m8z3r7q9w2x4y6t8v0b1c3"


def cursor(text: str) -> str:
    """A cursor that holds this, as lists of ours make them."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


ANYWHERE: Final = (
    "",
    "0",
    "-1",
    "%00",
    "a%00b",
    "%ED%A0%80",  # half of a surrogate pair
    "%FF%FE",
    "%C2%9B31m",  # an escape sequence's beginning, of C1
    "%E2%80%AE%D7%90",  # right to left
    "%EF%BF%BF",
    "9" * 400,
    "1e308",
    "9999-12-31",
    "x" * 8000,
    "{}",
)
TEXT: Final = (
    "%20",
    "null",
    "true",
    "%0d%0aX-A:%20b",
    "%C0%AF",
    "%E2%80%A8",
    "%F0%9F%91%A9%E2%80%8D%F0%9F%94%AC",
    "%F4%8F%BF%BF",
    "%25",
    "%5C",
    "%25%27%22%5C_%25%5C",
    "'%20OR%201=1--",
    "%E2%80%AE" * 60,
    "%CC%81" * 60,
    "a" * 201,
    "A%20" * 90,
    "..%2f..%2fetc%2fpasswd",
    "$HOME",
)
IDS: Final = (
    "lsc_" + "0" * 26,
    "lsc_" + "z" * 26,
    f"mdl_{_ID.upper()}",
    f"mdl_{_ID}%0a",
    f"lsc_{_ID}%0a",
    f"ckp_{_ID}",
    f"key_{_ID}%00",
    "sha256:" + "A" * 64,
    "SHA256:" + "a" * 64,
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 64 + "%0a",
    "sha256%3A" + "a" * 64,
    "md5:" + "a" * 32,
)
NUMBERS: Final = (
    "-0.0",
    "nan",
    "-Infinity",
    "1e309",
    "-1.7976931348623157e308",
    "1.7976931348623157e308",
    "5e-324",
    "-2.2250738585072014e-308",
    "0.1e1",
    "1_000",
    "%D9%A1%D9%A2",  # digits of another script
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 5000,
    "0x10",
    "201",
)
TIMES: Final = (
    "0001-01-01",
    "2024-02-30",
    "0001-01-01T00:00:00%2B23:59",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999-23:59",
    "9999-12-31T23:59:59%2B00:00",
    "1969-12-31T23:59:59Z",
    "2024-06-30T23:59:60Z",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00:00%2B99:99",
    "-1e18",
    "253402300800",
    "99999999999999999999",
    "0.5",
)
CURSORS: Final = (
    "====",
    "%E2%82%AC",
    "AAAA",
    *map(
        cursor,
        (
            "[]",
            "{}",
            '["a"]',
            '["\\u0000"]',
            '["\\ud800"]',
            '["' + "z" * 600 + '"]',
            "[NaN]",
            "[1e400]",
            "[" + "9" * 600 + ',"lsc_0"]',
            '[1e308,"\\u0000"]',
            '[-1e308,"lsc_0"]',
            '[NaN,"lsc_0"]',
            '[Infinity,"\\ud800"]',
            '[true,"x"]',
            '["","","",""]',
            '["\\u0000","\\u0000"]',
            '["http","\\ud800"]',
            "[9223372036854775808]",
            "[9223372036854775807]",
            "[-9223372036854775808]",
            "[2147483648]",
            "[0]",
            "[" * 300,
        ),
    ),
)

_NUMERIC: Final = {"limit", "wait", "after", "levels", "vmin", "vmax", "width"}
#: One of few words.
_WORDS: Final = {
    "theme", "view", "log", "trajectory", "samples", "plain", "sort", "state", "kind", "verdict",
    "metric", "directions", "wrong",
}  # fmt: skip


def values_for(name: str) -> Sequence[str]:
    """Those that suit a query parameter of this name, and those that suit anything."""
    if name == "cursor":
        return (*ANYWHERE, *CURSORS)
    if name in ("since", "until"):
        return (*ANYWHERE, *TIMES)
    if name in _NUMERIC or name.startswith("derived."):
        return (*ANYWHERE, *NUMBERS)
    if name in _WORDS:
        return ANYWHERE
    return (*ANYWHERE, *TEXT, *IDS)
