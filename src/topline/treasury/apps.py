from django.apps import AppConfig


class TreasuryConfig(AppConfig):
    name = "topline.treasury"
    label = "treasury"
