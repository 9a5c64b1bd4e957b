"""Numbers, times and names as the pages write them."""

from datetime import UTC, datetime, timedelta

import pytest

from app import wording

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0.1234, "0.12 ms"), (4.711, "4.71 ms"), (9.996, "10.0 ms"), (17.04, "17.0 ms"), (148.3, "148 ms")],
)
def test_latency_has_three_digits_and_its_unit(ms, text):
    assert wording.latency(ms) == text


def test_spread_names_the_unit_once():
    assert wording.spread(4.5, 5.1) == "4.50 to 5.10 ms"
    assert wording.spread(None, 5.1) == ""


@pytest.mark.parametrize(
    ("number", "text"), [(None, "–"), (950, "950"), (22_713_216, "22.7 M"), (1_349_000_000, "1.35 G"), (1500, "1.5 k")]
)
def test_counts_have_a_magnitude(number, text):
    assert wording.count(number) == text


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(3, "just now"), (42, "42 s ago"), (60, "1 min ago"), (200, "3 min ago"), (7500, "2 h 5 min ago"), (90000, "1 d 1 h ago")],
)
def test_since(age_s, text):
    assert wording.since(NOW - timedelta(seconds=age_s), NOW) == text


def test_a_time_without_zone_is_utc():
    assert wording.since((NOW - timedelta(minutes=5)).replace(tzinfo=None), NOW) == "5 min ago"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("stsb", "stsb"),
        ("/home/me/reviews.csv?text=body&label=stars", "reviews.csv"),
        ("reviews.csv?text=a/b&label=c", "reviews.csv"),
    ],
)
def test_an_own_task_is_called_by_its_file(name, short):
    assert wording.task(name) == short


def test_markdown_is_made_harmless():
    assert wording.markdown("[a](http://x) <b> *c* :smile:") == r"\[a\]\(http\://x\) \<b\> \*c\* \:smile\:"


def test_commands_between_backticks_stay_commands():
    assert wording.with_code("*not*; `pocketformer calibrate --device x`.") == r"\*not\*; `pocketformer calibrate --device x`."
