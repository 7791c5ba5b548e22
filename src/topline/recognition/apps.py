from django.apps import AppConfig


class RecognitionConfig(AppConfig):
    name = "topline.recognition"
    label = "recognition"
