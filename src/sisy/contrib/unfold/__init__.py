"""Sisy's admin in the look of Unfold: add ``sisy.contrib.unfold`` after ``sisy``."""
