"""Measures the house: its lines of code, import cycles, and what must live in one package only.

``python -m tests.house`` prints each figure beside its aim, and what keeps it from being met.
"""
