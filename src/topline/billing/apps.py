from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "topline.billing"
    label = "billing"
