"""Integrations with packages that change the look of Django."""
