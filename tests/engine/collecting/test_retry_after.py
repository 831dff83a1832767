"""`Retry-After` in both of its forms, and in none."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paninifs.engine.collecting.web.reading.retry_after import retry_after

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@given(st.integers(0, 10**17))
def test_seconds(seconds):
    assert retry_after(str(seconds), NOW) == float(seconds)
    assert retry_after(f" {seconds} ", NOW) == float(seconds)


@given(st.integers(-(10**9), 10**10))
def test_dates(seconds):
    date = NOW + timedelta(seconds=seconds)
    assert retry_after(format_datetime(date, usegmt=True), NOW) == max(0, seconds)


@given(st.text(max_size=120))
def test_anything_else_is_no_wait_or_a_finite_one(text):
    wait = retry_after(text, NOW)
    assert wait is None or 0 <= wait < math.inf


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "1.5",
        "1e9",
        "",
        "soon",
        "٣",
        "9" * 400,
        "Thu, 99 Foo 2026 00:00:00 GMT",
        "1 2",
        "0x10",
    ],
)
def test_nonsense_is_no_wait(text):
    assert retry_after(text, NOW) is None
    assert retry_after(None, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 30 Nov 2026 12:00:30 GMT",
        "Monday, 30-Nov-26 12:00:30 GMT",
        "Mon Nov 30 12:00:30 2026",
        "Mon, 30 Nov 2026 14:00:30 +0200",
    ],
)
def test_the_three_forms_of_dates(text):
    assert retry_after(text, NOW) == 30
