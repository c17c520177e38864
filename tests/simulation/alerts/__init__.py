"""A site in virtual time whose problems are injected, and whose alerts are judged.

The real heartbeats run on a real database. Scripts cause one problem after the other, each at a
known moment and with a known end, and cause much that is no problem. Meanwhile heartbeats are
killed, frozen and restarted, also between two statements. In the end, each problem must have one
alert, one message that it began and one that it is over, in time, and nothing else may have any.

The workers are not Sisy's: what a run does, and when it ends, is the truth of this world. With
virtual time, hours pass in minutes, so many occurrences can be judged, and each failure can be
repeated from its seed.

``make simulate-alerts SEED=7 OCCURRENCES=100000`` runs it by hand.
"""
