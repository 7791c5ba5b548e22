from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "topline.catalog"
    label = "catalog"
