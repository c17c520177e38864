"""The table of what attempts have printed, and how far they are.

It lies beside the ledger, because few runs print anything or report progress. Such a run changes
its row a few times a second, and no index contains a column that changes.
"""

from django.db import models

from sisy.records.fields import MomentField


class RunOutput(models.Model):
    """The output and the progress of one attempt of a run.

    The text may have a gap: ``written`` counts the bytes of all of it, ``head`` is its beginning,
    and ``tail`` is its end.

    Attributes:
        process_id: the process that executes or executed the attempt.
        written: how many bytes the attempt has printed, in UTF-8.
        done: how much the attempt has done; None if it has reported no progress.
        total: how much there is to do; None if that is unknown.
        progressed_at: when the progress last changed.
        updated_at: when the row was last written.
    """

    pk = models.CompositePrimaryKey("run_id", "attempt")
    run_id = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    process_id = models.BigIntegerField(null=True)
    head = models.TextField(default="")
    tail = models.TextField(default="")
    written = models.BigIntegerField(default=0)
    done = models.FloatField(null=True)
    total = models.FloatField(null=True)
    message = models.CharField(max_length=200, default="")
    progressed_at = MomentField(null=True)
    updated_at = MomentField()

    class Meta:
        db_table = "sisy_run_output"

    def __str__(self) -> str:
        return f"output of run {self.run_id}, attempt {self.attempt}"
