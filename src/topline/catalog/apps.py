from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "topline.catalog"
    label = "catalog"

    def ready(self) -> None:
        """Market stands above and cannot ask for our prices: they are offered to it."""
        from topline.catalog import queries
        from topline.market import prices

        prices.read_ours_from(queries.list_points)
