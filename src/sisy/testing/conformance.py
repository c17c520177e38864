"""Conformance tests for ``django.tasks`` backends that keep results."""

import pickle
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from sisy.django_tasks.compat import (
    AnyResult,
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    signals,
    task_backends,
)


class BackendConformance(unittest.TestCase):
    """A mixin; place it before Django's own ``TransactionTestCase``, and implement `work`.

    Attributes:
        alias: the alias of the backend in ``TASKS``. Its ``QUEUES`` must contain "default".
    """

    alias = "default"

    def work(self) -> None:
        """Execute, in this process, all enqueued tasks that are ready."""
        raise NotImplementedError("Override work() to execute the enqueued tasks.")

    def setUp(self) -> None:
        super().setUp()
        from sisy.testing import conformance_tasks

        self.tasks = conformance_tasks
        conformance_tasks.said.clear()

    def enqueue(self, task: Any, *args: Any, **kwargs: Any) -> AnyResult:
        """Enqueue a task on the backend under test."""
        result: AnyResult = task.using(backend=self.alias).enqueue(*args, **kwargs)
        return result

    def ended(self, task: Any, *args: Any, **kwargs: Any) -> AnyResult:
        """Enqueue a task, execute it, and return its result."""
        result = self.enqueue(task, *args, **kwargs)
        self.work()
        result.refresh()
        return result

    def test_an_enqueued_task_is_ready(self) -> None:
        before = timezone.now()
        result = self.enqueue(self.tasks.add, 1, second=2)
        self.assertEqual(result.status, TaskResultStatus.READY)
        self.assertEqual((result.args, result.kwargs), ([1], {"second": 2}))
        self.assertEqual((result.backend, result.attempts, result.errors), (self.alias, 0, []))
        assert result.enqueued_at is not None
        self.assertLess(abs(result.enqueued_at - before), timedelta(minutes=1))
        self.assertEqual((result.started_at, result.finished_at), (None, None))

    def test_a_result_is_found_again_and_equal(self) -> None:
        after = timezone.now() + timedelta(hours=1)
        task = self.tasks.add.using(backend=self.alias, priority=7, run_after=after)
        result = task.enqueue(1, second=2)
        self.assertEqual(task.get_result(result.id), result)

    async def test_a_result_is_found_again_by_async_callers(self) -> None:
        task = self.tasks.aadd.using(backend=self.alias)
        result = await task.aenqueue(1)
        self.assertEqual(await task.aget_result(result.id), result)
        await result.arefresh()
        self.assertEqual(result.status, TaskResultStatus.READY)

    def test_a_task_that_returns_is_successful(self) -> None:
        result = self.ended(self.tasks.add, 3, second=4)
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, 7))
        self.assertEqual((result.attempts, result.errors), (1, []))
        moments = [result.started_at, result.last_attempted_at, result.finished_at]
        self.assertNotIn(None, moments)
        self.assertEqual(moments, sorted(m for m in moments if m is not None))

    def test_an_async_task_is_awaited(self) -> None:
        self.assertEqual(self.ended(self.tasks.aadd, 3).return_value, 4)

    def test_arguments_arrive_as_json_values(self) -> None:
        result = self.ended(self.tasks.echo, (1, b"two"), deep={"a": [None, True, 1.5]})
        self.assertEqual(result.return_value, [[[1, "two"]], {"deep": {"a": [None, True, 1.5]}}])

    def test_arguments_that_are_not_json_are_rejected_and_not_enqueued(self) -> None:
        with self.assertRaisesRegex(TypeError, "Unsupported type"):
            self.enqueue(self.tasks.say, datetime.now())  # noqa: DTZ005 - it is rejected
        self.work()
        self.assertEqual(self.tasks.said, [])

    def test_the_context_knows_the_result_and_the_attempt(self) -> None:
        for task in (self.tasks.look_around, self.tasks.alook_around):
            with self.subTest(task.name):
                result = self.ended(task, "hello")
                self.assertEqual(result.return_value, [result.id, 1, "hello"])

    def test_a_task_that_raises_has_failed_with_its_error(self) -> None:
        for task in (self.tasks.fail, self.tasks.afail):
            with self.subTest(task.name):
                result = self.ended(task)
                self.assertEqual(result.status, TaskResultStatus.FAILED)
                [error] = result.errors
                self.assertIs(error.exception_class, ValueError)
                self.assertIn("It went wrong", error.traceback)
                with self.assertRaisesRegex(ValueError, "Task failed"):
                    assert result.return_value

    def test_a_task_that_raises_system_exit_has_failed(self) -> None:
        [error] = self.ended(self.tasks.leave).errors
        self.assertIs(error.exception_class, SystemExit)

    def test_a_task_whose_return_value_is_not_json_has_failed(self) -> None:
        result = self.ended(self.tasks.return_what_json_cannot_hold)
        self.assertEqual(result.status, TaskResultStatus.FAILED)
        self.assertIs(result.errors[0].exception_class, TypeError)

    def test_an_unfinished_result_has_no_value(self) -> None:
        result = self.enqueue(self.tasks.add, 1)
        with self.assertRaisesRegex(ValueError, "Task has not finished yet"):
            assert result.return_value

    def test_larger_priorities_come_first_and_equals_in_their_order(self) -> None:
        for word, priority in (("c", 0), ("e", -100), ("a", 100), ("d", 0), ("b", 50)):
            self.enqueue(self.tasks.say.using(priority=priority), word)
        self.work()
        self.assertEqual(self.tasks.said, ["a", "b", "c", "d", "e"])

    def test_a_delayed_task_stays_queued(self) -> None:
        later = self.tasks.say.using(run_after=timezone.now() + timedelta(days=1))
        result = self.enqueue(later, "later")
        self.enqueue(self.tasks.say.using(run_after=timezone.now() - timedelta(days=1)), "now")
        self.work()
        result.refresh()
        self.assertEqual((self.tasks.said, result.status), (["now"], TaskResultStatus.READY))

    def test_an_unknown_id_does_not_exist(self) -> None:
        task = self.tasks.add.using(backend=self.alias)
        for nonsense in ("", "123456789", "run-123456789", "run-٣", "run-" + "9" * 19, "\0"):
            with self.subTest(nonsense), self.assertRaises(TaskResultDoesNotExist):
                task.get_result(nonsense)

    def test_the_result_of_another_task_is_rejected(self) -> None:
        result = self.enqueue(self.tasks.add, 1)
        with self.assertRaises(TaskResultMismatch):
            self.tasks.say.using(backend=self.alias).get_result(result.id)

    def test_a_result_can_be_pickled(self) -> None:
        if not hasattr(self.tasks.add, "_reconstruct"):
            self.skipTest("Tasks can be pickled only on Django 6.1 or newer.")
        result = self.ended(self.tasks.add, 1)
        self.assertEqual(pickle.loads(pickle.dumps(result)), result)

    def test_an_invalid_task_is_rejected(self) -> None:
        for wrong in ({"priority": 101}, {"queue_name": "unknown"}):
            with self.subTest(wrong), self.assertRaises(InvalidTask):
                self.tasks.add.using(backend=self.alias, **wrong)

    def test_signals_are_sent_in_order(self) -> None:
        with _recorded() as recorded:
            result = self.ended(self.tasks.add, 1)
        names = [(name, status) for name, _, one, status, _ in recorded if one.id == result.id]
        expected = [
            ("task_enqueued", TaskResultStatus.READY),
            ("task_started", TaskResultStatus.RUNNING),
            ("task_finished", TaskResultStatus.SUCCESSFUL),
        ]
        self.assertEqual(names, expected)
        self.assertEqual({sender for _, sender, *_ in recorded}, {type(task_backends[self.alias])})

    def test_a_failure_is_signalled_within_an_except_block(self) -> None:
        with _recorded() as recorded:
            self.ended(self.tasks.fail)
        [(is_failure, status)] = [
            (e, s) for name, _, _, s, e in recorded if name == "task_finished"
        ]
        self.assertEqual((is_failure, status), (True, TaskResultStatus.FAILED))


Recorded = list[tuple[str, type, AnyResult, TaskResultStatus, bool]]


@contextmanager
def _recorded() -> Iterator[Recorded]:
    """Collect signals with sender, result, status, and whether an exception is being handled."""
    recorded: Recorded = []
    receivers = []
    for name in ("task_enqueued", "task_started", "task_finished"):

        def record(
            *, sender: type, task_result: AnyResult, name: str = name, **kwargs: object
        ) -> None:
            is_error = sys.exc_info()[0] is not None
            recorded.append((name, sender, task_result, task_result.status, is_error))

        getattr(signals, name).connect(record)
        receivers.append((getattr(signals, name), record))
    try:
        yield recorded
    finally:
        for signal, receiver in receivers:
            signal.disconnect(receiver)
