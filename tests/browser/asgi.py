"""The site, with a heartbeat and a worker in the server's process."""

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sisy.asgi import SisyASGI

application = SisyASGI(ASGIStaticFilesHandler(get_asgi_application()), grace=1)
