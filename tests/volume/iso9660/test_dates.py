"""Times of directory records and of volume descriptors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isofs.volume.iso9660.dates import long_time, short_time

NANO = 1_000_000_000


def nanoseconds(moment: datetime) -> int:
    """Exact, unlike `datetime.timestamp`."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NANO + since.microseconds * 1000


def short(*fields: int) -> bytes:
    return bytes(field & 0xFF for field in fields)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (short(99, 7, 15, 12, 34, 56, 0), "1999-07-15T12:34:56"),
        (short(99, 7, 15, 12, 34, 56, 8), "1999-07-15T10:34:56"),
        (short(99, 7, 15, 12, 34, 56, -8), "1999-07-15T14:34:56"),
        (short(99, 7, 15, 12, 34, 56, 52), "1999-07-14T23:34:56"),
        (short(99, 7, 15, 12, 34, 56, -48), "1999-07-16T00:34:56"),
        (short(70, 1, 1, 0, 0, 0, 0), "1970-01-01T00:00:00"),
        (short(69, 12, 31, 23, 59, 59, 0), "1969-12-31T23:59:59"),
        (short(65, 6, 1, 0, 0, 0, 0), "1965-06-01T00:00:00"),
        (short(0, 1, 1, 0, 0, 0, 0), "1900-01-01T00:00:00"),
        (short(100, 2, 29, 0, 0, 0, 0), "2000-02-29T00:00:00"),
        (short(138, 1, 19, 3, 14, 8, 0), "2038-01-19T03:14:08"),
        (short(139, 3, 4, 5, 6, 7, 0), "2039-03-04T05:06:07"),
        (short(255, 12, 31, 23, 59, 59, 0), "2155-12-31T23:59:59"),
    ],
)
def test_short_times_have_their_known_values(stamp: bytes, expected: str) -> None:
    assert short_time(stamp) == nanoseconds(datetime.fromisoformat(expected).replace(tzinfo=UTC))


@pytest.mark.parametrize("zone", [53, 56, 100, 127, -49, -52, -100, -128])
def test_a_zone_outside_the_standard_counts_as_none(zone: int) -> None:
    assert short_time(short(99, 7, 15, 12, 34, 56, zone)) == short_time(short(99, 7, 15, 12, 34, 56, 0))


@pytest.mark.parametrize(
    "fields",
    [
        (0, 0, 0, 0, 0, 0, 0),
        (99, 0, 15, 0, 0, 0, 0),
        (99, 13, 15, 0, 0, 0, 0),
        (99, 7, 0, 0, 0, 0, 0),
        (99, 2, 29, 0, 0, 0, 0),
        (0, 2, 29, 0, 0, 0, 0),  # 1900 has no leap day
        (99, 2, 31, 0, 0, 0, 0),
        (99, 4, 31, 0, 0, 0, 0),
        (99, 7, 32, 0, 0, 0, 0),
        (99, 7, 15, 24, 0, 0, 0),
        (99, 7, 15, 0, 60, 0, 0),
        (99, 7, 15, 0, 0, 61, 0),
        (255, 255, 255, 255, 255, 255, 255),
    ],
)
def test_a_date_of_no_calendar_counts_as_not_recorded(fields: tuple[int, ...]) -> None:
    assert short_time(short(*fields)) is None


def test_second_60_counts_as_59() -> None:
    assert short_time(short(99, 12, 31, 23, 59, 60, 0)) == short_time(short(99, 12, 31, 23, 59, 59, 0))


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2155, 12, 31, 23, 59, 59)),
    st.integers(-48, 52),
)
def test_short_times_agree_with_the_calendar(local: datetime, zone: int) -> None:
    local = local.replace(microsecond=0)
    stamp = short(local.year - 1900, local.month, local.day, local.hour, local.minute, local.second, zone)
    expected = nanoseconds(local.replace(tzinfo=UTC)) - 15 * 60 * zone * NANO
    assert short_time(stamp) == expected


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_bytes_are_a_time_or_none(stamp: bytes) -> None:
    time = short_time(stamp)
    year, month, day, hour, minute, second, _ = stamp
    try:
        datetime(1900 + year, month, day, hour, minute, min(second, 59))
    except ValueError:
        assert time is None
    else:
        assert (time is None) == (second > 60)


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(-48, 52),
)
def test_long_times_agree_with_the_calendar(local: datetime, zone: int) -> None:
    hundredths = local.microsecond // 10_000
    digits = f"{local.year:04}{local.month:02}{local.day:02}{local.hour:02}{local.minute:02}{local.second:02}"
    stamp = f"{digits}{hundredths:02}".encode() + bytes((zone & 0xFF,))
    utc = local.replace(microsecond=10_000 * hundredths, tzinfo=UTC) - timedelta(minutes=15 * zone)
    assert long_time(stamp) == nanoseconds(utc)


@pytest.mark.parametrize(
    "stamp",
    [
        b"0" * 16 + b"\0",
        bytes(17),
        b" " * 16 + b"\0",
        b"1999071512345 00\0",
        b"-999071512345600\0",
        b"1999130112345600\0",
        b"1999023012345600\0",
        b"1999071524345600\0",
        b"0000071512345600\0",
        b"\xb2" * 16 + b"\0",
    ],
)
def test_long_times_that_are_none(stamp: bytes) -> None:
    assert long_time(stamp) is None


def test_long_times_keep_hundredths_and_the_sign_of_the_zone() -> None:
    assert long_time(b"2000010100000099\xf8") == nanoseconds(datetime(2000, 1, 1, 2, 0, 0, 990_000, tzinfo=UTC))


@given(st.binary(min_size=17, max_size=17))
def test_any_seventeen_bytes_do_not_raise(stamp: bytes) -> None:
    time = long_time(stamp)
    assert time is None or isinstance(time, int)
