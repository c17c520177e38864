"""Functions of runs that look at their span."""

from opentelemetry import trace


def _seen():
    context = trace.get_current_span().get_span_context()
    return {"trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}


def look(message):
    with trace.get_tracer("shop").start_as_current_span("inner"):
        return _seen()


async def alook(message):
    with trace.get_tracer("shop").start_as_current_span("inner"):
        return _seen()


def fail(message):
    raise ValueError("out of tea")


class Leaving(BaseException):
    """An error that ends whoever asks for its words."""

    def __str__(self):
        raise SystemExit

    __repr__ = __str__


def leave(message):
    raise Leaving
