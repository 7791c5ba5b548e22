from django.urls import path

from topline.market import pages

app_name = "market"
urlpatterns = [
    path("", pages.customers, name="customers"),
    path("new/", pages.new_customer, name="new_customer"),
    path("duplicates/", pages.duplicates, name="duplicates"),
    path("merge/", pages.merge, name="merge"),
    path("<int:customer_id>/edit/", pages.edit, name="edit"),
]
