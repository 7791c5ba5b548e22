from django.urls import path

from topline.lifecycle import pages

app_name = "lifecycle"
urlpatterns = [
    path("", pages.customers, name="customers"),
    path("cohorts/", pages.cohorts, name="cohorts"),
    path("value/", pages.worth, name="value"),
    path("margins/", pages.margins, name="margins"),
    path("serve-costs/", pages.serve_costs, name="serve_costs"),
    path("<int:customer_id>/stage/", pages.set_stage, name="set_stage"),
]
