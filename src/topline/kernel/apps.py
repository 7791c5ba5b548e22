from django.apps import AppConfig


class KernelConfig(AppConfig):
    name = "topline.kernel"
    label = "kernel"
