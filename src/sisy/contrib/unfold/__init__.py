"""Sisy's admin in Unfold's design: add ``sisy.contrib.unfold`` after ``sisy``."""
