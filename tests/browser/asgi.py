"""The site, with a heartbeat and a worker in the server's process, or without."""

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sisy.asgi import LiveASGI, SisyASGI

web = ASGIStaticFilesHandler(get_asgi_application())
application = SisyASGI(web, grace=1)
only_pages = LiveASGI(web)
