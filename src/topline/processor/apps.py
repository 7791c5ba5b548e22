from django.apps import AppConfig


class ProcessorConfig(AppConfig):
    name = "topline.processor"
    label = "processor"
