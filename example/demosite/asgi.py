"""``uvicorn demosite.asgi:application`` runs the whole site: web, heartbeat and worker."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demosite.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sisy.asgi import SisyASGI

web = ASGIStaticFilesHandler(get_asgi_application())
application = SisyASGI(web, grace=5)
