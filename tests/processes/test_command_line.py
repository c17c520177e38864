"""What the commands say about their options."""

import pytest

COMMANDS = ("sisy", "sisy_heartbeat", "sisy_worker")
WORKERS = ("sisy", "sisy_worker")


@pytest.mark.parametrize("command", WORKERS)
@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--concurrency", "0", "'0' is not valid. Use a whole number from 1 to 1000"),
        ("--queues", "a b", "'a b' is not a valid queue name. Use 1 to 60 ASCII letters"),
        ("--grace", "-1", "'-1' is not valid. Use 0 to 86400 seconds"),
        ("--max-runs-per-child", "0", "'0' is not valid. Use a whole number of at least 1"),
        ("--max-memory-per-child", "1.5", "'1.5' is not valid. Use a whole number of at least 1"),
        ("--pool", "fibers", "invalid choice: 'fibers' (choose from"),
    ],
)
def test_an_option_that_cannot_be_used_is_explained(
    site, forks, command, option, value, complaint
):
    process = site.fork(forks, command, f"{option}={value}")
    assert process.ends() == 2
    assert process.output.startswith(f"usage: manage.py {command}")
    assert f"error: argument {option}: {complaint}" in process.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_the_command_and_its_exit_codes(site, forks, command):
    process = site.fork(forks, command, "--help")
    assert process.ends() == 0
    assert "SIG" in process.output


def test_a_database_that_was_not_migrated_is_named(site):
    site.environment["SISY_TEST_DB"] = "another"
    process = site.manage("sisy")
    process.says("unapplied migration(s)")


def test_a_limit_of_children_without_children_is_explained(site):
    process = site.manage("sisy_worker", "--max-runs-per-child", "5")
    assert process.ends() == 1
    assert "Use --max-runs-per-child only with --pool processes." in (process.output)
