from django.apps import AppConfig


class CollectionsConfig(AppConfig):
    name = "topline.collections"
    label = "collections"

    def ready(self) -> None:
        """Cash application heeds what customers dispute and promise."""
        from topline.collections import queries
        from topline.receivables import remarks

        remarks.register(queries.remarks)
