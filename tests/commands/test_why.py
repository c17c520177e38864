"""Why a run is queued, whatever somebody has copied from a page, a command or the log."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError
from django.utils import timezone
from django.utils.html import strip_tags

from sisy.heartbeat import tick
from sisy.lifecycle.release import release_running
from sisy.management.table import shown
from sisy.models import Origin, Overlap, Process, Queue, Role, Run, RunState, Task
from sisy.reports import formatting
from sisy.worker.claim import claim
from tests.app import jobs
from tests.commands.calling import said, seen, told
from tests.roles.steps import finish
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("now")]

BERLIN = ZoneInfo("Europe/Berlin")


def up(*queues, slots=4, role=Role.WORKER, lease=HOUR):
    return Process.join(
        role, using="default", now=NOON, lease=lease, queues=queues or ("default",), slots=slots
    )


def idle(**fields):
    return scheduled("0 0 1 1 *", label="tea", **fields)


def why(*asked):
    quoted = " ".join(f"'{each}'" for each in asked)
    return said(f"sisy_tasks why {quoted}").strip()


def why_run(run):
    return why(f"#{run.pk}")


def since(run):
    return f"Run {run.pk} has been queued since 2026-05-05 12:00:00 UTC: "


def test_a_bare_number_is_the_key_of_a_task_if_there_is_one():
    task = idle()
    task.new_run(now=NOON, pk=task.pk, state=RunState.SUCCEEDED).save()
    assert "The next run is due" in why(task.pk)
    assert "The next run is due" not in why(f"#{task.pk}")


def test_no_worker_serves_its_queue():
    up("mail")
    run = idle(queue="cpu").run_now()
    assert why_run(run) == since(run) + "the queue 'cpu' has no worker."


def test_the_answer_says_who_paused_the_queue_and_when_and_why():
    up()
    run = idle().run_now()
    Queue.objects.pause("default", "The mail server is down.", by="Sam")
    assert why_run(run) == since(run) + (
        "the queue 'default' was paused by Sam at 2026-05-05 12:00:00 UTC "
        "(The mail server is down)."
    )


def test_each_worker_of_its_queue_is_draining():
    up().request_drain(NOON)
    run = idle().run_now()
    assert why_run(run) == since(run) + "all workers for the queue 'default' are draining."


def test_all_slots_are_busy_and_how_many_runs_are_ahead():
    task = idle(overlap=Overlap.ALLOW)
    for _ in range(2):
        task.run_now()
    claim(up(slots=2), ["default"], 2, NOON)
    first, second = task.run_now(), task.run_now()
    busy = "all 2 worker slots for the queue 'default' are in use"
    assert why_run(first) == f"{since(first)}{busy}."
    assert why_run(second) == f"{since(second)}{busy}, and 1 run is ahead of it."


def test_it_must_wait_for_another_run():
    up()
    task = idle(overlap=Overlap.BUFFER_ALL)
    task.run_now()
    [going] = claim(worker(), ["default"], 1, NOON)
    run = task.run_now()
    assert why_run(run) == since(run) + (
        f"it must wait for run {going.pk} of the same task to finish."
    )


def test_no_worker_has_claimed_it_yet():
    up()
    run = idle().run_now()
    assert why_run(run) == since(run) + "no worker has claimed it yet."


def test_it_is_delayed_until_a_moment_and_not_queued_since_then(now):
    up()
    Task.run_once(jobs.noop, delay_until=NOON + HOUR)
    run = Run.objects.get()
    assert why_run(run) == f"Run {run.pk} is delayed until 2026-05-05 13:00:00 UTC."
    tick("default", NOON)
    later = scheduled("0 13 * * *", label="lunch", spread=timedelta(minutes=10))
    now.moment = NOON + HOUR
    tick("default", now.moment)
    spread = Run.objects.get(task=later)
    assert "is delayed until 2026-05-05 13:0" in why_run(spread)
    assert "by its task's spread" in why_run(spread)


def test_the_answer_names_the_time_of_the_retry_and_the_error(now):
    up()
    task = idle(max_attempts=3, retry_delay=timedelta(minutes=5))
    task.run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED, reason="KeyError: 'x'", error_class="builtins.KeyError")
    Run.objects.update(ready_at=NOON + MINUTE)
    sentence = why_run(run)
    assert (
        f"Run {run.pk} will be retried at 2026-05-05 12:01:00 UTC: attempt 1 raised KeyError."
    ) in (sentence)
    now.moment = NOON + 2 * MINUTE
    assert "has been queued since 2026-05-05 12:01:00 UTC" in why_run(run)


def test_its_worker_has_handed_it_over_and_is_still_leaving():
    up()
    idle().run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    release_running("default", [run], "The worker stops", NOON)
    assert "was released by its worker. It can start again at 2026-05-05 12:00:05" in (
        why_run(run)
    )


def test_no_queued_run_is_said_to_be_queued_since_a_moment_to_come():
    """Whatever keeps a run queued: its origin, its attempts, its spread."""
    up()
    task = idle()
    for n, origin in enumerate(Origin.values):
        for attempt in (0, 1, 2):
            for due in (None, NOON - HOUR, NOON + HOUR):
                run = task.new_run(now=NOON, origin=origin, attempt=attempt, due_at=due)
                run.due_at = due and due + (10 * n + attempt) * SECOND
                run.ready_at = NOON + HOUR
                run.save()
                assert "since" not in why_run(run)
                assert "13:00:00 UTC" in why_run(run) or "13:00" in why_run(run)


# What somebody may have copied, and puts into the question.


def forms_of(moment, zone):
    """Return every form in which pages, commands and logs show a moment."""
    local = moment.astimezone(zone)
    with timezone.override(zone):
        yield shown(moment)
        yield strip_tags(formatting.instant(moment))
        yield formatting.short(moment)
        yield f"{local:%a %Y-%m-%d %H:%M:%S %Z}"
        yield f"{local:%Y-%m-%d %H:%M:%S}"
        yield f"{local:%Y-%m-%d %H:%M}"
        yield f"{local:%H:%M:%S}"
        yield f"{local:%a %H:%M:%S %Z}"
        yield f"{local:%a %H:%M:%S} {zone.key}"
    yield moment.isoformat()
    yield f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    yield f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC"
    yield f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    yield f"{local:%Y-%m-%d %H:%M:%S} {zone.key}"
    yield f"{local:%H:%M:%S} 5 min ago"
    yield f"{local:%H:%M:%S} in 2 days"
    yield f"{moment.timestamp()}"


def test_a_moment_is_found_in_every_form_in_which_it_is_shown():
    up()
    task = scheduled("0 12 * * *", label="tea")
    Task.objects.update(timezone="Europe/Berlin")
    run = task.new_run(now=NOON, due_at=NOON - MINUTE)
    run.save()
    for text in forms_of(NOON - MINUTE, BERLIN):
        assert f"Run {run.pk} has been queued" in why("tea", text), text


@pytest.mark.parametrize("form", ["{}", "#{}", "run {}", "Run {}", "tea #{}"])
def test_a_run_is_found_in_every_form_in_which_it_is_named(form):
    up()
    run = idle().run_now()
    assert str(run) == f"tea #{run.pk}"
    assert f"Run {run.pk} has been queued" in why(form.format(run.pk))
    assert f"Run {run.pk} has been queued" in why("tea", form.format(run.pk))


def test_the_run_of_a_deleted_task_is_explained():
    Task.run_once(jobs.noop)
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED, reason="no water")
    assert not Task.objects.exists()
    assert why_run(run) == (
        f"Run {run.pk} failed: no water. It started at 2026-05-05 12:00:00 UTC (0 s late) and "
        "took 0 s."
    )


def test_a_manual_run_is_found_by_any_moment_of_its_life(now):
    task = scheduled("0 0 1 1 *", label="tea")
    task.run_now()
    [run] = claim(worker(), ["default"], 1, NOON + MINUTE)
    finish(run, NOON + 2 * MINUTE)
    moments = {"planned_at": NOON, "started_at": NOON + MINUTE, "finished_at": NOON + 2 * MINUTE}
    exact = {name: at + timedelta(microseconds=250_400) for name, at in moments.items()}
    Run.objects.filter(pk=run.pk).update(**exact)
    for moment in exact.values():
        for text in (shown(moment), strip_tags(formatting.instant(moment)), moment.isoformat()):
            assert f"Run {run.pk} succeeded" in why("tea", text), text


def test_the_answer_is_in_the_zone_of_the_question():
    up()
    task = scheduled("0 * * * *", label="tea")
    Task.objects.update(timezone="Asia/Tokyo")
    task.new_run(now=NOON, due_at=NOON).save()
    assert "since 2026-05-05 14:00:00 CEST" in why("tea", "2026-05-05 14:00 Europe/Berlin")
    assert "since 2026-05-05 12:00:00 UTC" in why("tea", "2026-05-05 12:00:00 UTC")
    assert "since 2026-05-05 21:00:00 JST" in why("tea", "2026-05-05 21:00")
    assert "since 2026-05-05 14:00:00 UTC+02:00" in why("tea", "2026-05-05T14:00+02:00")


def test_in_a_repeated_hour_the_abbreviation_tells_which():
    task = scheduled("30 * * * *", label="tea")
    Task.objects.update(timezone="Europe/Berlin", created_at=NOON)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    runs = [task.new_run(now=NOON, due_at=first + n * HOUR) for n in range(2)]
    Run.objects.bulk_create(runs)
    for text, run in (("CEST", runs[0]), ("CET", runs[1])):
        assert f"Run {run.pk} " in why("tea", f"2026-10-25 02:30:00 {text}")


@pytest.mark.parametrize("text", ["yesterday", "25:61", "2026-13-01", "12:00 XYZ", "", "Mo 12:00"])
def test_an_invalid_moment_is_answered_with_valid_forms(text):
    idle()
    with pytest.raises(CommandError, match="is neither a valid date and time nor a run"):
        why("tea", text)


def test_a_run_of_another_task_and_one_that_is_gone_are_not_found():
    run = scheduled("0 0 1 1 *", label="coffee").run_now()
    idle()
    with pytest.raises(CommandError, match=f"tea has no run {run.pk}"):
        why("tea", f"#{run.pk}")
    with pytest.raises(CommandError, match="Run 99999 does not exist"):
        why("99999")


def test_why_without_a_moment_explains_what_the_task_does_now():
    task = scheduled("0 15 * * *", label="tea")
    assert why("tea") == (
        "The task has no runs yet. The next run is due at 2026-05-05 15:00:00 UTC."
    )
    task.pause("fasting")
    assert why("tea") == "The task is paused: fasting. The task has no runs yet."
    scheduled("0 0 1 1 *", label="invoice #7")
    assert "The task has no runs yet." in why("invoice #7")


def test_occurrences_after_the_last_iteration_will_not_run():
    scheduled("0 * * * *", label="tea", iterations=2)
    assert "It will run at this time" in why("tea", "14:00")
    assert why("tea", "15:00") == (
        "It will not run at this time: only 2 iterations are left, and they are due earlier. The "
        "next one is due at 2026-05-05 13:00:00 UTC."
    )


def test_the_answer_as_json_names_the_run():
    up()
    run = idle().run_now()
    answer = told(f"sisy_tasks why '#{run.pk}'")
    assert (answer["task"], answer["run"]) == (run.task_id, run.pk)
    assert answer["answer"].startswith(since(run))


def test_an_answer_is_wrapped_to_the_terminal(monkeypatch):
    task = scheduled("0 15 * * *", label="tea")
    task.pause("until the new warehouse is open, which may take until the end of the year")
    lines = seen(f"sisy_tasks why {task.pk}", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines) == why(task.pk)
