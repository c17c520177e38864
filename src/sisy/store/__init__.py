"""The hand-written access to databases, beyond Django's ORM."""
