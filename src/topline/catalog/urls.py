from django.urls import path

from topline.catalog import pages, rule_pages

app_name = "catalog"
urlpatterns = [
    path("", pages.products, name="products"),
    path("promotions/", rule_pages.promotion_list, name="promotions"),
    path("promotions/new/", rule_pages.new_promotion, name="new_promotion"),
    path("promotions/<int:promotion_id>/stop/", rule_pages.stop_promotion, name="stop_promotion"),
    path("bands/", rule_pages.bands, name="bands"),
    path("bands/set/", rule_pages.set_bands, name="set_bands"),
    path("new/", pages.new, name="new"),
    path("<int:product_id>/", pages.product, name="product"),
    path("<int:product_id>/prices/new/", pages.new_price, name="new_price"),
]
