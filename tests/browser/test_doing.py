"""What somebody does by clicking and typing."""

from datetime import timedelta

from playwright.sync_api import expect

from sisy import clock
from sisy.models import Run, RunState, Task, TaskState, task_with_callable
from tests.app import jobs
from tests.support.waiting import wait_until


def saved(label, **fields):
    task = task_with_callable(jobs.noop, label=label, schedule="0 * * * *", **fields)
    task.save()
    return task


def test_a_task_is_run_now_and_its_run_is_seen(look, address):
    task = saved("run by hand")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        window.get_by_role("button", name="Run now").click()
        expect(window.get_by_text("Submitted 1 run.")).to_be_visible()
        expect(window.locator("#sisy-ledger tbody tr").first).to_contain_text("succeeded")


def test_a_double_click_runs_a_task_once(look, address):
    task = saved("clicked twice")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        sent = []
        window.route("**/tasks/do/run/", lambda route: sent.append(route))  # no answer yet
        twice = "button => { button.click(); setTimeout(() => button.click(), 100); }"
        window.get_by_role("button", name="Run now").evaluate(twice)
        window.wait_for_timeout(300)
        assert len(sent) == 1
        sent[0].continue_()
        window.unroute("**/tasks/do/run/")
        expect(window.get_by_text("Submitted 1 run.")).to_be_visible()
        window.get_by_role("button", name="Run now").click()
        expect(window.locator("#sisy-ledger tbody tr")).to_have_count(2)
    task.delete()


def test_a_task_is_paused_with_a_reason_and_resumed(look, address):
    task = saved("paused by hand")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        window.locator("#pause > summary").click()
        window.get_by_placeholder("reason").fill("stocktaking")
        window.keyboard.press("Enter")
        expect(window.locator("#sisy-head")).to_contain_text("stocktaking (paused by Sam)")
        assert Task.objects.get(pk=task.pk).state == TaskState.PAUSED
        window.get_by_role("button", name="Resume").click()
        expect(window.locator("#sisy-head")).to_contain_text("active")


def test_the_enter_key_in_the_list_of_tasks_runs_nothing(look, address):
    task = saved("left alone")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/?search=left+alone")
        window.locator(f'input[name="pk"][value="{task.pk}"]').check()
        window.locator("#pause > summary").click()
        window.get_by_placeholder("reason").fill("stocktaking")
        window.keyboard.press("Enter")
        window.get_by_role("button", name="Pause selected").click()
        expect(window.get_by_text("Paused 1 task.")).to_be_visible()
    assert not task.runs.exists()
    task.delete()  # the grid of the overview has room for thirty


def test_several_tasks_are_ticked_at_once_and_stay_so_while_the_list_changes(look, address):
    tasks = [saved(f"ticked {n}") for n in range(3)]
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/?search=ticked")
        window.get_by_label("select all").check()
        tasks[0].run_now()
        expect(window.locator(f"#task-{tasks[0].pk}")).to_contain_text("succeeded")
        boxes = window.locator("#sisy-list tbody [name=pk]")
        assert [boxes.nth(n).is_checked() for n in range(3)] == [True] * 3
        window.get_by_role("button", name="Run now").click()
        window.get_by_role("button", name="Run 3 tasks").click()
        expect(window.get_by_text("Submitted 3 runs.")).to_be_visible()


def test_the_tasks_of_one_group_are_selected_and_a_closed_group_stays_closed(look, address):
    for queue in ("left", "right"):
        saved(f"grouped {queue}", queue=queue)
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/?search=grouped&group=queue")
        group = window.locator("#group-left")
        group.get_by_label("select all").check()
        assert window.locator("[name=pk]:checked").count() == 1
        group.locator("summary").click()
        expect(group.locator("table")).to_be_hidden()
        Task.objects.get(label="grouped right").run_now()
        expect(window.locator("#group-right")).to_contain_text("queued")
        expect(group.locator("table")).to_be_hidden()


def test_a_note_is_written_on_the_page_of_a_task(look, address):
    task = saved("noted")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        window.get_by_text("Add a note").click()
        window.locator("[name=note]").fill("Call **Ann**.")
        window.get_by_role("button", name="Save").click()
        expect(window.locator("#sisy-head strong")).to_have_text("Ann")


def test_a_backfill_runs_after_its_preview_was_seen(look, address):
    task = saved("made good")
    now = task.created_at
    begin, end = (now - timedelta(hours=n) for n in (3, 0))
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        window.get_by_role("link", name="Backfill…").click()
        window.get_by_label("Start").fill(f"{begin:%Y-%m-%dT%H:%M:%S}")
        window.get_by_label("End").fill(f"{end:%Y-%m-%dT%H:%M:%S}")
        window.get_by_role("button", name="Preview").click()
        expect(window.get_by_text("3 occurrences will run.")).to_be_visible()
        window.get_by_role("button", name="Run backfill").click()
        expect(window.get_by_text("Submitted 3 runs.")).to_be_visible()
    made = Run.objects.filter(task=task, origin="backfill", state=RunState.SUCCEEDED)
    wait_until(lambda: made.count() == 3, "all have run")


def test_the_editor_follows_typing_and_rejects_invalid_schedules(look, address):
    with look(address) as window:
        window.goto(f"{address}/sisy/schedule/")
        field = window.get_by_label("Schedule", exact=True)
        field.fill("61 * * * *")
        expect(window.locator("#sisy-meaning")).to_contain_text(
            "minute: 61 is out of range. Use 0 to 59."
        )
        expect(window.locator("#sisy-meaning .wrong")).to_contain_text("minute")
        field.fill("0 9 * * mon-fri")
        expect(window.locator("#sisy-meaning")).to_contain_text("At 09:00, Monday through Friday")
        assert "schedule=0+9" in window.url
        window.get_by_role("link", name="every 10 seconds").click()
        expect(window.locator("#sisy-meaning")).to_contain_text("second")


def test_the_history_is_drawn_and_its_numbers_can_be_read(look, address):
    task = saved("drawn")
    for _ in range(3):
        task.run_now()
    done = Run.objects.filter(task=task, state=RunState.SUCCEEDED)
    wait_until(lambda: done.count() == 3, "all have run")
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        for chart in ("took", "late"):
            canvas = window.locator(f"[data-sisy-chart={chart}] canvas")
            expect(canvas).to_have_attribute("role", "img")
        trend = window.get_by_role("figure", name="Trend")
        trend.get_by_text("Show data").click()
        expect(window.locator("[data-sisy-history] tbody tr")).to_have_count(3)


def test_a_run_far_off_the_trend_is_a_link_in_the_chart(look, address):
    task = saved("slow once")
    now = clock.now("default")
    for number in range(12):
        begin = now - timedelta(minutes=20 - number)
        run = task.new_run(
            now=begin,
            state=RunState.SUCCEEDED,
            started_at=begin,
            finished_at=begin + timedelta(seconds=50 if number == 6 else 2 + number % 3),
        )
        run.save()
        if number == 6:
            slow = run
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{task.pk}/")
        dot = window.locator("[data-sisy-chart=took] .sisy-outlier")
        expect(dot).to_have_count(1)
        expect(window.locator("[data-sisy-chart=late] .sisy-outlier")).to_have_count(0)
        dot.click()
        expect(window).to_have_url(f"{address}/sisy/runs/{slow.pk}/")
