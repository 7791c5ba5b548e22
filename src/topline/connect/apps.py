from django.apps import AppConfig


class ConnectConfig(AppConfig):
    name = "topline.connect"
    label = "connect"
