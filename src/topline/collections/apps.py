from django.apps import AppConfig


class CollectionsConfig(AppConfig):
    name = "topline.collections"
    label = "collections"
