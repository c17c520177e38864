"""The smallest queue with a ledger: one table, whatever Sisy's tables look like."""

import json
from collections.abc import Iterable

from benchmarks.raw_connection import RawConnection

TABLE = """
    CREATE TABLE raw_job (
        id $key, function text NOT NULL, data $json NOT NULL,
        state varchar(20) NOT NULL DEFAULT 'queued', ready $moment NOT NULL DEFAULT ($now),
        started $moment, finished $moment
    )
"""
SUBMIT = "INSERT INTO raw_job (function, data) VALUES (%s, %s)"
SUBMIT_MANY = (
    "INSERT INTO raw_job (function, data) SELECT %s, data FROM unnest(%s::jsonb[]) AS data"
)
READY = "state = 'queued' AND ready <= $now ORDER BY ready, id"
START = "state = 'running', started = $now"
COMPLETE = "state = 'succeeded', finished = $now"


class Jobs:
    """Its submissions, each of which commits, and the loop that works them off."""

    def __enter__(self) -> "Jobs":
        self._raw = RawConnection()
        self._raw.execute(TABLE)
        columns = "ready, id" if self._raw.has_partial_indexes else "state, ready, id"
        self._raw.create_index("raw_job_ready", "raw_job", columns, "state = 'queued'")
        self._raw.commit()
        return self

    def __exit__(self, *exc: object) -> None:
        self._raw.driver.rollback()
        self._raw.execute("DROP TABLE raw_job")
        self._raw.commit()
        self._raw.close()

    def submit(self, function: str, data: object) -> None:
        self._raw.execute(SUBMIT, [function, json.dumps(data)])
        self._raw.commit()

    def submit_many(self, function: str, data: Iterable[object]) -> None:
        texts = [json.dumps(each) for each in data]
        if self._raw.vendor == "postgresql":
            self._raw.execute(SUBMIT_MANY, [function, texts])
        else:
            self._raw.execute_many(SUBMIT, [(function, text) for text in texts])
        self._raw.commit()

    def drain(self) -> int:
        """Claim and complete 100 at a time, each in a transaction; return how many there were."""
        self._raw.learn("raw_job")
        count = 0
        while claimed := self._raw.claim("raw_job", READY, START):
            self._raw.commit()
            self._raw.change("raw_job", claimed, COMPLETE)
            self._raw.commit()
            count += len(claimed)
        return count
