from django.urls import path

from topline.catalog import pages, product_pages, rule_pages

app_name = "catalog"
urlpatterns = [
    path("", pages.products, name="products"),
    path("promotions/", rule_pages.promotion_list, name="promotions"),
    path("promotions/new/", rule_pages.new_promotion, name="new_promotion"),
    path("promotions/<int:promotion_id>/stop/", rule_pages.stop_promotion, name="stop_promotion"),
    path("bands/", rule_pages.bands, name="bands"),
    path("bands/set/", rule_pages.set_bands, name="set_bands"),
    path("price-books/", product_pages.books, name="books"),
    path("price-books/new/", product_pages.new_book, name="new_book"),
    path("new/", pages.new, name="new"),
    path("<int:product_id>/", pages.product, name="product"),
    path("<int:product_id>/change/", product_pages.change, name="change"),
    path("<int:product_id>/parts/", product_pages.parts, name="parts"),
    path("<int:product_id>/volumes/", product_pages.volumes, name="volumes"),
    path("<int:product_id>/prices/new/", pages.new_price, name="new_price"),
]
