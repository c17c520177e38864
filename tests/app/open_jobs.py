"""Functions that leave a transaction open; child processes import them quickly."""

import asyncio
from contextlib import suppress

from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, connections, transaction

from tests.app.models import Counter

OPEN = "default"


def write():
    Counter.objects.using(OPEN).create(label="written")


def leaves_a_block(message):
    transaction.atomic(using=OPEN).__enter__()
    write()


def leaves_nested_blocks(message):
    for _ in range(3):
        transaction.atomic(using=OPEN).__enter__()
    write()


def leaves_a_broken_block(message):
    leaves_a_block(message)
    with suppress(DatabaseError), connections[OPEN].cursor() as cursor:
        cursor.execute("SELECT nonsense FROM nowhere")


def leaves_a_block_to_be_rolled_back(message):
    leaves_a_block(message)
    transaction.set_rollback(True, using=OPEN)


def leaves_a_closed_block(message):
    leaves_a_block(message)
    connections[OPEN].close()


def leaves_autocommit_off(message):
    transaction.set_autocommit(False, using=OPEN)
    write()


def leaves_a_block_on_a_shared_connection(message):
    connections[OPEN].inc_thread_sharing()
    leaves_a_block(message)


def begins_by_hand(message):
    with connections[OPEN].cursor() as cursor:
        cursor.execute("BEGIN")
    write()


async def leaves_a_block_in_its_thread(message):
    await sync_to_async(leaves_a_block)(message)


async def leaves_a_block_in_any_thread(message):
    await asyncio.to_thread(leaves_a_block, message)


async def leaves_a_block_in_another_thread(message):
    await sync_to_async(leaves_a_block, thread_sensitive=False)(message)


def leaves_a_block_by_a_bridge(message):
    async_to_sync(leaves_a_block_in_its_thread)(message)


def leaves_a_block_in_a_thread_of_a_bridge(message):
    async_to_sync(leaves_a_block_in_any_thread)(message)


def leaves_a_block_and_fails(message):
    leaves_a_block(message)
    raise ValueError("of its own")


async def leaves_a_block_in_its_thread_and_fails(message):
    await sync_to_async(leaves_a_block)(message)
    raise ValueError("of its own")


def leaves_a_block_of_two_databases(message):
    leaves_a_block(message)
    connections["second"].connect()  # as if the test had asked for it
    transaction.atomic(using="second").__enter__()


def only_begins(message):
    transaction.atomic(using=OPEN).__enter__()


def asks(message):
    with connections[OPEN].cursor() as cursor:
        cursor.execute("SELECT 1")
    return connections[OPEN].in_atomic_block


def rolls_back_on_purpose(message):
    with transaction.atomic(using=OPEN):
        write()
        transaction.set_rollback(True, using=OPEN)


def writes(message):
    with transaction.atomic(using=OPEN):
        write()


async def awrites(message):
    await Counter.objects.acreate(label="written")
    await asyncio.to_thread(write)


def writes_and_leaves_autocommit_off(message):
    transaction.set_autocommit(False, using=OPEN)
    write()
    transaction.commit(using=OPEN)


WRONG = [
    leaves_a_block,
    leaves_nested_blocks,
    leaves_a_broken_block,
    leaves_a_block_to_be_rolled_back,
    leaves_a_closed_block,
    leaves_autocommit_off,
    leaves_a_block_on_a_shared_connection,
    leaves_a_block_in_its_thread,
    leaves_a_block_in_any_thread,
    leaves_a_block_in_another_thread,
    leaves_a_block_by_a_bridge,
    leaves_a_block_in_a_thread_of_a_bridge,
]
FAILING = [leaves_a_block_and_fails, leaves_a_block_in_its_thread_and_fails]
