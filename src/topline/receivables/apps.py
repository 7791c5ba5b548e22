from django.apps import AppConfig


class ReceivablesConfig(AppConfig):
    name = "topline.receivables"
    label = "receivables"
