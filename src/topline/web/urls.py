from django.urls import path

from topline.web import pages

app_name = "web"
urlpatterns = [
    path("", pages.today, name="today"),
    path("customers/<int:customer_id>/", pages.customer, name="customer"),
    path("figures/", pages.figures_page, name="figures"),
    path("figures/<slug:key>/", pages.figure, name="figure"),
    path("portal/", pages.portal, name="portal"),
    path("search", pages.find, name="search"),
    path("healthz", pages.healthz, name="healthz"),
    path("readyz", pages.readyz, name="readyz"),
]
