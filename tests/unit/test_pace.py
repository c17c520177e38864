"""The first message leaves at once, and what follows it shortly shares the next one."""

import threading

from sisy.messaging.carriers import Pace


def test_the_first_leaves_at_once_and_those_right_after_share_the_next():
    pace = Pace(interval=10)
    assert pace.seconds_to_next(100) == 0
    assert pace.seconds_to_next(103) == 7
    assert pace.seconds_to_next(103) is None
    assert pace.seconds_to_next(109.999) is None
    # The shared one has left: this one is late for it.
    assert pace.seconds_to_next(110) == 10
    assert pace.seconds_to_next(119) is None


def test_after_a_pause_the_next_leaves_at_once_again():
    pace = Pace(interval=10)
    assert pace.seconds_to_next(100) == 0
    assert pace.seconds_to_next(110) == 0
    assert pace.seconds_to_next(500) == 0
    assert pace.seconds_to_next(501) == 9


def test_the_first_can_gather_what_belongs_to_it():
    pace = Pace(interval=10, gather=1)
    assert pace.seconds_to_next(100) == 1
    assert pace.seconds_to_next(100.5) is None
    assert pace.seconds_to_next(101) == 10
    assert pace.seconds_to_next(200) == 1


def test_of_callers_at_the_same_moment_one_sends_and_one_more():
    pace = Pace(interval=10)
    answers, ready = [], threading.Barrier(8)

    def call():
        ready.wait()
        answers.append(pace.seconds_to_next(100))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # The second cannot know whether the first message has left before its run was stored.
    assert sorted(answer for answer in answers if answer is not None) == [0, 10]


def test_a_message_that_will_be_sent_covers_what_happens_before_it():
    pace = Pace(interval=10, gather=1)
    assert not pace.covers(100)
    assert pace.seconds_to_next(100) == 1
    assert [pace.covers(now) for now in (100, 100.999, 101)] == [True, True, False]
