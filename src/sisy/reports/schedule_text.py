"""Describe a schedule in words, if cron-descriptor is installed."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from sisy.schedules.expression import Fields
from sisy.schedules.names import ALIASES
from sisy.schedules.schedule import Schedule

try:
    import cron_descriptor
except ImportError:  # it is installed by the extra "admin"
    cron_descriptor = None

HASHED = re.compile(r"h(\(.*\))?(/\d+)?")
LAST_WEEKDAY = re.compile(r"\bl\w+")
ONE_MINUTE = re.compile(r"\b1 minutes ")  # as cron-descriptor writes in English
NAMES = re.compile(r"[A-Z][a-z]+")
# For Chinese, Django's codes name the script, and cron-descriptor's the country.
CHINESE = {"zh-hans": "zh_CN", "zh-hant": "zh_TW"}

Names = Mapping[str, str]


def in_words(schedule: Schedule, language: str = "en", names: Names | None = None) -> str:
    """Return a sentence such as "Every 5 minutes".

    Returns an empty text without cron-descriptor, and for the few schedules that it describes
    incorrectly.

    Args:
        language: a language code of Django's, such as ``"pt-br"``; unknown ones give English.
        names: translations of the English names of months and weekdays, which cron-descriptor
            does not translate.
    """
    if cron_descriptor is None:
        return ""
    expression = _seconds_first(schedule)
    if not expression:
        return ""
    options = cron_descriptor.Options(locale_code=_locale(language), use_24hour_time_format=True)
    try:
        sentence = cron_descriptor.get_description(expression, options)
    except (cron_descriptor.FormatError, ValueError, IndexError):
        return ""
    sentence = ONE_MINUTE.sub("1 minute ", sentence)
    known = names or {}
    return NAMES.sub(lambda match: known.get(match[0], match[0]), sentence)


def _seconds_first(schedule: Schedule) -> str:
    """Return the expression in the syntax of cron-descriptor; an empty text if it has none."""
    text = schedule.expression.strip().lower()
    texts = ALIASES.get(text, text).split()
    values = _values(schedule.fields)
    texts = [_plain(field, values[position]) for position, field in enumerate(texts)]
    has_star_in_list = any("," in text and "*" in text.split(",") for text in texts)
    if has_star_in_list or _would_be_put_wrongly(days=texts[2], weekdays=texts[4]):
        return ""
    if LAST_WEEKDAY.fullmatch(texts[4]):
        texts[4] = f"{texts[4][1:]}l"
    return " ".join(texts[5:] + texts[:5]).upper()


def _would_be_put_wrongly(days: str, weekdays: str) -> bool:
    is_nth = "#" in weekdays or LAST_WEEKDAY.search(weekdays) is not None
    is_named_in_a_list = "," in days and ("l" in days or "w" in days)
    return is_named_in_a_list or (is_nth and (days not in "*?" or "," in weekdays))


def _plain(field: str, values: list[int]) -> str:
    """Return a field in which ``h`` is replaced by its values."""
    if not any(HASHED.fullmatch(item) for item in field.split(",")):
        return field
    if field.startswith("h/"):
        return f"{values[0]}{field[1:]}"
    return ",".join(map(str, values))


def _values(fields: Fields) -> tuple[list[int], ...]:
    rule = fields.day_rule
    return (
        list(fields.minutes),
        list(fields.hours),
        sorted(rule.days or ()),
        sorted(rule.months),
        sorted(rule.weekdays or ()),
        list(fields.seconds),
    )


def _locale(language: str) -> str:
    """Return the name of the catalogue for a language code of Django's."""
    main, _, region = language.lower().partition("-")
    wanted = CHINESE.get(language.lower(), f"{main}_{region.upper()}")
    known = [name for name in _catalogues() if name.startswith(f"{main}_")]
    return wanted if wanted in known else next(iter(known), "en_US")


@cache
def _catalogues() -> tuple[str, ...]:
    folder = files("cron_descriptor") / "locale"
    return tuple(sorted(file.name.removesuffix(".mo") for file in folder.iterdir()))
