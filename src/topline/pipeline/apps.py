from django.apps import AppConfig


class PipelineConfig(AppConfig):
    name = "topline.pipeline"
    label = "pipeline"

    def ready(self) -> None:
        """Briefs are market's; one about a product is made here, where it is known who buys it."""
        from topline.market import briefs
        from topline.pipeline import product_brief

        briefs.KINDS["product"] = briefs.Kind(product_brief.titles, product_brief.product_brief)
