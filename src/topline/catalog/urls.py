from django.urls import path

from topline.catalog import pages

app_name = "catalog"
urlpatterns = [
    path("", pages.products, name="products"),
    path("new/", pages.new, name="new"),
    path("<int:product_id>/", pages.product, name="product"),
    path("<int:product_id>/prices/new/", pages.new_price, name="new_price"),
]
