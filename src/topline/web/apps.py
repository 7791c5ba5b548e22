from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "topline.web"
    label = "web"
