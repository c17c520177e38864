"""Walks through the source during one due moment, and counts what it enters: ``make walk``.

A task is due once, on a site of one heartbeat and one worker in one process. The walk begins when
the heartbeat wakes up for the due moment. It ends when the row is finished, dashboards have been
told, and all threads wait again. Set-up, signing on and shutting down do not count.

- A file is **entered** when control comes into it from another file or from outside Sisy: one of
  its functions is called, or continues after a wait that began before the walk.
- The **door** of an entry is the line that calls. Where an event loop, a thread or a library
  calls, it is the function that is called. Another entry by the same door is a turn of a loop and
  does not count: a file has as many entries as doors.
- A **re-entry** is an entry by another door after the first one, if the file was left: none of its
  functions is on the stack of the thread.
- A **function** has a ``def``: lambdas and comprehensions belong to the function around them.

The site is new, so that what it prepares at first use counts. Time is set from outside, and the
figures are the same in each walk on the same database and channel layer. The order of some lines
may differ: an event loop does the work of the heartbeat and of the worker in the order in which
their threads are ready, and a file that two threads enter is listed under the first one.
"""
