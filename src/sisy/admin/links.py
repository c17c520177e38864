"""Links to the admin's own pages."""

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def run_link(pk: int, shown: str) -> SafeString:
    """Return a link to a run's page."""
    return format_html('<a href="{}">{}</a>', reverse("admin:sisy_run_change", args=[pk]), shown)
