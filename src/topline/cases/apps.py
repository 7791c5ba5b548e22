from django.apps import AppConfig


class CasesConfig(AppConfig):
    name = "topline.cases"
    label = "cases"
