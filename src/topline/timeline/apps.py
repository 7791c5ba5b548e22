from django.apps import AppConfig


class TimelineConfig(AppConfig):
    name = "topline.timeline"
    label = "timeline"
