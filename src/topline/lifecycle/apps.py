from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    name = "topline.lifecycle"
    label = "lifecycle"
