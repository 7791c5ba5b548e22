from django.apps import AppConfig


class BankConfig(AppConfig):
    name = "topline.bank"
    label = "bank"
