"""What the sweeper sends, and how often: nobody's commands at once, waiting ones ever more rarely, all after a broker's restart."""

import pytest
from quick_work import WORK
from runs import begin

from data.store import Store
from jobs.driver import advance, execute
from jobs.sweeper import FIRST_RESEND_S, Sweeper


class Post:
    """A broker as far as the sweeper sees it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.broker: str | None = "first"

    def send(self, command) -> bool:
        self.sent.append(command.kind)
        return True


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def sweeper(store: Store, post: Post) -> Sweeper:
    return Sweeper(store, post.send, lambda: post.broker)


def test_a_waiting_command_is_sent_again_ever_more_rarely(store: Store, sweeper: Sweeper, post: Post):
    advance(store, begin(store))
    for second in range(100):
        sweeper.send_unclaimed(float(second))
    assert post.sent == ["prepare"] * 4  # at 0, 10, 30 and 70 s


def test_a_new_broker_gets_everything_at_once(store: Store, sweeper: Sweeper, post: Post):
    advance(store, begin(store))
    sweeper.send_unclaimed(0.0)
    post.broker = None
    sweeper.send_unclaimed(1.0)
    post.broker = "second"
    sweeper.send_unclaimed(2.0)
    assert post.sent == ["prepare", "prepare"]


def test_a_command_under_way_is_left_alone_until_its_worker_is_dead(store: Store, sweeper: Sweeper, post: Post):
    (prepare,) = advance(store, begin(store))
    assert store.claim(prepare.command_id, "w")
    sweeper.send_unclaimed(0.0)
    assert post.sent == []
    sweeper.stale_after_s = 0.0
    sweeper.send_unclaimed(1.0)
    assert post.sent == ["prepare"]


def test_news_that_nobody_has_fed_are_fed(store: Store, sweeper: Sweeper, post: Post):
    """The worker finished its command and died before the search could take its next step."""
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    store.claim(prepare.command_id, "w")
    store.finish(prepare.command_id, "w", result=WORK["prepare"](None))  # type: ignore[arg-type]
    sweeper.advance_runs()
    sweeper.send_unclaimed(0.0)
    assert post.sent == ["compile", "train"]


def test_a_cancelled_run_stops_without_any_worker(store: Store, sweeper: Sweeper):
    run_id = begin(store)
    advance(store, run_id)
    store.request_cancel(run_id)
    sweeper.advance_runs()
    assert store.run(run_id).status == "cancelled"
    assert {command.status for command in store.commands(run_id)} == {"stopped"}


def test_a_run_that_cannot_go_on_does_not_keep_others_back(store: Store, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch):
    runs = [begin(store), begin(store)]
    from data.errors import StoreError

    def advance_or_fail(given: Store, run_id: str):
        if run_id == runs[1]:
            raise StoreError("damaged")
        return advance(given, run_id)

    monkeypatch.setattr("jobs.sweeper.advance", advance_or_fail)
    sweeper.advance_runs()
    assert [len(store.commands(run_id)) for run_id in runs] == [1, 0]


def test_after_claim_and_loss_the_pause_starts_anew(store: Store, sweeper: Sweeper, post: Post):
    (prepare,) = advance(store, begin(store))
    sweeper.send_unclaimed(0.0)
    sweeper.send_unclaimed(FIRST_RESEND_S)
    store.claim(prepare.command_id, "w")
    sweeper.send_unclaimed(FIRST_RESEND_S + 1)
    store.release(prepare.command_id, "w")
    sweeper.send_unclaimed(FIRST_RESEND_S + 2)
    assert post.sent == ["prepare"] * 3
    execute(store, prepare.command_id, "w", work=WORK)


def test_what_a_user_asks_is_fed_at_once(store: Store, sweeper: Sweeper):
    run_id = begin(store)
    advance(store, run_id)
    store.ask(run_id, "pause")
    sweeper.advance_asked()
    assert (store.run(run_id).status, store.asked()) == ("paused", [])
