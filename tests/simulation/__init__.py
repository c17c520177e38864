"""A year in a minute: heartbeats, workers and a user over the real code and a real database.

Time is virtual. Who moves next, when somebody is interrupted, crashes or freezes, and how long
a run takes is drawn from one seed, so that whatever goes wrong can be seen again. What happened
is then compared with what should have, which is computed by other means than Sisy's.

``make simulate SEED=7 DAYS=365`` runs it by hand.
"""
