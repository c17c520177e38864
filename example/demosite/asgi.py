"""The demo's ASGI applications.

``uvicorn demosite.asgi:application`` runs the whole site: web, heartbeat and worker.
``demosite.asgi:web`` serves only the web, with the WebSocket of the live dashboard.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demosite.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sisy.asgi import LiveASGI, SisyASGI

site = ASGIStaticFilesHandler(get_asgi_application())
web = LiveASGI(site)
application = SisyASGI(site, concurrency=8, grace=5)
