from django.apps import AppConfig


class TeamConfig(AppConfig):
    name = "topline.team"
    label = "team"
