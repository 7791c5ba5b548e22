from django.urls import path

from topline.market import pages

app_name = "market"
urlpatterns = [
    path("", pages.customers, name="customers"),
    path("new/", pages.new_customer, name="new_customer"),
    path("duplicates/", pages.duplicates, name="duplicates"),
    path("merge/", pages.merge, name="merge"),
    path("<int:customer_id>/edit/", pages.edit, name="edit"),
    path("<int:customer_id>/contacts/new/", pages.new_contact, name="new_contact"),
    path("<int:customer_id>/addresses/new/", pages.new_address, name="new_address"),
    path("<int:customer_id>/aliases/new/", pages.new_alias, name="new_alias"),
    path("<int:customer_id>/aliases/drop/", pages.drop_alias, name="drop_alias"),
]
