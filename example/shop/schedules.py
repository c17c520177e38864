"""Declare the shop's tasks that do not change. ``migrate`` creates and updates them."""

from typing import Any

from django.core.mail import send_mail

import sisy
from shop.models import DayTotal, Page

sisy.schedule("55 23 * * *", name="pages: roll up the day")(DayTotal.roll_up)


@sisy.schedule("0 9-17 * * mon-fri", name="pages: mail a digest")
def mail_digest(message: dict[str, Any]) -> int:
    """Mail the status of each page. The demo shows its mails on a page."""
    lines = [f"{page.url}: {page.status}, {page.checked} checks" for page in Page.objects.all()]
    return send_mail("Status of the pages", "\n".join(lines), "demo@localhost", ["you@localhost"])
