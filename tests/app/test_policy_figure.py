"""The policy's figure: rows are options, columns trials, and what a trial took is marked."""

from datetime import UTC, datetime

from stories import policy_of

from app.policy_figure import MOST_STEPS, entropy_text, policy_figure
from data.records import Event


def entries(numbers):
    now = datetime.now(UTC)
    return [Event("run", number, now, "info", number, f"Trial {number}", {"policy": policy_of(number)}) for number in numbers]


def traces(numbers):
    heat, taken = policy_figure(entries(numbers)).data
    return heat, taken


def test_options_are_rows_in_the_order_of_the_decisions():
    heat, _ = traces([1, 2, 3, 4])
    assert list(heat.y[:7]) == [
        "layers 3",
        "layers 4",
        "layers 6",
        "hidden size 256",
        "hidden size 320",
        "hidden size 384",
        "layer 1 FFN 384",
    ]
    assert heat.y[-1] == "layer 4 FFN 1536"
    assert len(heat.y) == 3 + 3 + 4 * 4
    assert list(heat.x) == ["1", "2", "3", "4"]


def test_a_decision_that_a_trial_did_not_take_is_left_blank():
    heat, _ = traces([3, 4])
    assert heat.z[2] == [4 / 6, None]
    assert heat.z[5] == [None, 5 / 7]


def test_what_each_trial_took_is_marked():
    _, taken = traces([1, 4])
    assert list(zip(taken.x, taken.y, strict=True)) == [
        ("1", "layers 4"),
        ("4", "hidden size 320"),
        *[("4", f"layer {layer} FFN 384") for layer in (1, 2, 3, 4)],
    ]


def test_a_long_search_shows_its_newest_trials():
    heat, _ = traces(range(1, MOST_STEPS + 11))
    assert len(heat.x) == MOST_STEPS
    assert heat.x[-1] == str(MOST_STEPS + 10)


def test_backgrounds_have_scales_of_their_own():
    light, dark = (policy_figure(entries([1]), dark=dark).data[0].colorscale for dark in (False, True))
    assert light != dark


def test_entropy_is_told_of_the_phase_under_way():
    first, now = policy_of(4)["entropy"], policy_of(8)["entropy"]
    text = entropy_text(entries(range(1, 9)))
    assert f"{first:.2f} nats after their first trial, {now:.2f} now; {policy_of(4)['largest_entropy']:.2f} is chance" in text
