from django.apps import AppConfig


class PipelineConfig(AppConfig):
    name = "topline.pipeline"
    label = "pipeline"
