"""Sisy's pages in the look of Unfold: put ``sisy.contrib.unfold`` behind ``sisy``."""
