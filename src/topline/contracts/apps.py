from django.apps import AppConfig


class ContractsConfig(AppConfig):
    name = "topline.contracts"
    label = "contracts"
