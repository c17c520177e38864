"""The proof: a real fleet whose processes and servers are broken on purpose, and a checker.

``make chaos`` runs it; see docs/explanation/chaos.md.
"""
