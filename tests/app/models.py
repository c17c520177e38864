"""Objects whose methods are tasks, and a log of what was really executed."""

import os
import uuid

from django.db import models


class Counter(models.Model):
    label = models.CharField(max_length=50, default="")
    count = models.IntegerField(default=0)

    def tick(self, message):
        self.count += 1
        self.save()
        return self.count

    async def atick(self, message):
        self.count += 1
        await self.asave()

    @classmethod
    def sweep(cls, message):
        return cls.__name__

    @staticmethod
    def static_sweep(message):
        return "static"

    def with_more(self, message, more=None):
        """Take more than the one parameter."""


class SpecialCounter(Counter):
    pass


class ProxyCounter(Counter):
    class Meta:
        proxy = True


class AbstractCounter(models.Model):
    class Meta:
        abstract = True

    def tick(self, message):
        pass


class Pair(models.Model):
    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.IntegerField()

    def tick(self, message):
        pass


class UUIDCounter(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    count = models.IntegerField(default=0)

    def tick(self, message):
        self.count += 1
        self.save()


class NamedCounter(models.Model):
    name = models.CharField(primary_key=True, max_length=50)
    count = models.IntegerField(default=0)

    def tick(self, message):
        self.count += 1
        self.save()


class Folder(models.Model):
    """What a project keeps tasks in."""

    # No constraint: apps without migrations get their tables before those with migrations.
    tasks = models.ManyToManyField("sisy.Task", db_constraint=False)


class Execution(models.Model):
    """One call of a task function: the ledger's word is checked against these."""

    task_pk = models.BigIntegerField(null=True)
    run = models.BigIntegerField()
    due = models.FloatField()
    attempt = models.IntegerField()
    pid = models.IntegerField()

    @classmethod
    def log(cls, message):
        body = message["message"]
        return cls(
            task_pk=body["id"],
            run=body["run"],
            due=body["ts"],
            attempt=body["attempt"],
            pid=os.getpid(),
        )


class Failure(models.Model):
    """A run whose function has failed once."""

    run = models.BigIntegerField(unique=True)
