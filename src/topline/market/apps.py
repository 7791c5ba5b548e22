from django.apps import AppConfig


class MarketConfig(AppConfig):
    name = "topline.market"
    label = "market"
