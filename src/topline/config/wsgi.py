"""The WSGI application that granian serves."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

import topline.config.urls  # noqa: E402, F401  (pages and API are put together now, not while the first visitor waits)
