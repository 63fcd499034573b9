"""Times of ISO 9660 and Rock Ridge -> nanoseconds since 1970 UTC, None where none is recorded.

| form | bytes | where |
| --- | --- | --- |
| 7 bytes | year - 1900, month, day, hour, minute, second, zone | directory records (ECMA-119 9.1.5), TF |
| 17 bytes | digits `YYYYMMDDHHMMSScc`, zone | volume descriptors (ECMA-119 8.4.26.1), TF in long form |
| 6, 16 bytes | the same without the zone, which is 0 then | High Sierra |

The zone is signed and counts quarters of an hour east of UTC; outside -48 to 52 it counts as 0. A date that no
calendar has counts as not recorded: it is never turned into another one. Second 60 counts as 59.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_NANO: Final = 1_000_000_000
_ZONES: Final = range(-48, 53)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@lru_cache(maxsize=4096)
def short_time(stamp: bytes) -> int | None:
    """The time of 7 bytes, or of 6."""
    year, month, day, hour, minute, second, *zone = stamp
    return _nanoseconds(1900 + year, month, day, hour, minute, second, 0, *zone)


def long_time(stamp: bytes) -> int | None:
    """The time of 17 bytes, or of 16."""
    digits = stamp[:16]
    if not digits.isdigit():
        return None
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    hour, minute, second, hundredths = (int(digits[i : i + 2]) for i in (8, 10, 12, 14))
    if not year:
        return None
    return _nanoseconds(year, month, day, hour, minute, second, hundredths, *stamp[16:])


def _nanoseconds(
    year: int, month: int, day: int, hour: int, minute: int, second: int, hundredths: int, zone: int = 0
) -> int | None:
    days = _days_since_1970(year, month, day)
    if days is None or hour > 23 or minute > 59 or second > 60:
        return None
    signed = zone - 256 if zone > 127 else zone
    minutes = hour * 60 + minute - (15 * signed if signed in _ZONES else 0)
    seconds = (days * 1440 + minutes) * 60 + (second if second < 60 else 59)
    return seconds * _NANO + hundredths * 10_000_000


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + leap


@lru_cache(maxsize=1024)
def _days_since_1970(year: int, month: int, day: int) -> int | None:
    """Days in the Gregorian calendar, the year taken to begin in March so that the leap day comes last.

    None for a day that it does not have.
    """
    if not 1 <= month <= 12 or not 1 <= day <= _days_in(year, month):
        return None
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719_469
