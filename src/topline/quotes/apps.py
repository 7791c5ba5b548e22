from django.apps import AppConfig


class QuotesConfig(AppConfig):
    name = "topline.quotes"
    label = "quotes"
