"""Follow the output of a run while it grows."""

from dataclasses import dataclass

from sisy.models import Run, RunOutput
from sisy.reports.output import AttemptOutput, gap_of, readable, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The part of a run's output that is new.

    Attributes:
        text: whole lines, with secrets masked.
        output: the attempt that printed it; None if none has reported anything yet.
        is_next_attempt: whether the text before belongs to an earlier attempt, or to a worker that
            has released this one.
    """

    text: str
    output: AttemptOutput | None
    is_next_attempt: bool = False


class Follower:
    """Reads the output of a run from where it has ended before. Shows only whole lines."""

    def __init__(self, run: Run) -> None:
        self._rows = RunOutput.objects.using(run._state.db).filter(run_id=run.pk)
        self._attempt: tuple[int, int | None] | None = None
        self._position = 0  # bytes

    def read(self, *, is_over: bool) -> News:
        """Return what is new.

        Args:
            is_over: whether the run has ended, so that its last line is complete.
        """
        row = self._rows.order_by("-attempt").first()
        if row is None:
            return News(text="", output=None)
        # A released run is executed again by the attempt of the same number, in another process.
        attempt = row.attempt, row.process_id
        is_next = self._attempt not in (None, attempt)
        if attempt != self._attempt:
            self._attempt, self._position = attempt, 0
        text = self._new_text(row, is_over)
        return News(text=text, output=shown(row), is_next_attempt=is_next)

    def _new_text(self, row: RunOutput, is_over: bool) -> str:
        head, tail = row.head.encode(), row.tail.encode()
        begin_of_tail = row.written - len(tail)
        text = ""
        if self._position < len(head):
            part = head[self._position :]
            is_all = is_over or bool(tail)
            text += self._advance(part, is_all=is_all)
        if self._position < len(head) or not tail:
            return text
        if self._position < begin_of_tail:
            rest = tail.partition(b"\n")[2] or tail
            left_out = row.written - len(rest) - self._position
            self._position += left_out
            text += (
                f"{gap_of(left_out)}\n"
                if not text or text.endswith("\n")
                else (f"\n{gap_of(left_out)}\n")
            )
        return text + self._advance(tail[self._position - begin_of_tail :], is_all=is_over)

    def _advance(self, part: bytes, *, is_all: bool) -> str:
        """Return the whole lines of the next part of the text, and continue after them."""
        lines = part if is_all else part[: part.rfind(b"\n") + 1]
        self._position += len(lines)
        return readable(lines.decode(errors="replace"))
