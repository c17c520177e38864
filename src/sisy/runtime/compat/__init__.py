"""Everything of Python, asgiref and Django that Sisy uses and that they do not document.

Read in Python 3.11 to 3.13, asgiref 3.13, and Django 5.2 to 6.1. tests/unit/test_compat.py tries
each function, so that it fails where a later version differs.
"""
