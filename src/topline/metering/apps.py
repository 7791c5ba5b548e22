from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "topline.metering"
    label = "metering"
