"""Markup for Sisy's pages in Django's admin."""

from typing import Any

import django
from django import template
from django.apps import apps
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

register = template.Library()

HAS_LIST = django.VERSION >= (6, 1)
"""True if breadcrumbs are a list; before Django 6.1, they are text with arrows."""


@register.simple_tag(takes_context=True)
def breadcrumbs(context: Context, here: Any) -> SafeString:
    """Return the breadcrumbs of a page called ``here``, in the markup of this Django version."""
    request = context["request"]
    site = getattr(request, "current_app", None) or request.resolver_match.namespace
    links = [
        (reverse("admin:index", current_app=site), gettext("Home")),
        (
            reverse("admin:app_list", args=["sisy"], current_app=site),
            apps.get_app_config("sisy").verbose_name,
        ),
    ]
    if HAS_LIST:
        items = format_html_join("", '<li><a href="{}">{}</a></li>', links)
        return format_html(
            '<ol class="breadcrumbs">{}<li aria-current="page">{}</li></ol>', items, here
        )
    above = format_html_join("", '<a href="{}">{}</a> &rsaquo; ', links)
    return format_html('<div class="breadcrumbs">{}{}</div>', above, here)
