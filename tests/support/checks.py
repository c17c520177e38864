"""Messages of Django's system checks."""


def ids(messages):
    """Return the ids of messages, in order."""
    return [message.id for message in messages]
