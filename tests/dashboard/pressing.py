"""Press a button of the dashboard, and confirm it if the page asks."""

import re
from html import unescape

FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def question_of(answer):
    """Return the fields of a page that asks for a confirmation; None if it asks nothing."""
    html = answer.content.decode()
    if answer.status_code != 200 or 'name="confirm"' not in html:
        return None
    form = html.partition('id="question"')[2].partition("</form>")[0]
    fields = {}
    for name, value in FIELD.findall(form):
        fields.setdefault(name, []).append(unescape(value))
    return fields


def press(client, address, data, *, follow=True):
    """Return the page after a button was pressed, and its question confirmed."""
    answer = client.post(address, data, follow=follow)
    fields = question_of(answer)
    return answer if fields is None else client.post(address, fields, follow=follow)
