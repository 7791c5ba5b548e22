from django.urls import path

from topline.web import market, pages

app_name = "web"
urlpatterns = [
    path("", pages.today, name="today"),
    path("customers/<int:customer_id>/", pages.customer, name="customer"),
    path("market/", market.overview, name="market"),
    path("market/segment/", market.segment, name="segment"),
    path("market/prices/", market.price_position, name="price_position"),
    path("market/briefs/", market.briefs_page, name="briefs"),
    path("market/brief/", market.brief, name="brief"),
    path("figures/", pages.figures_page, name="figures"),
    path("figures/<slug:key>/", pages.figure, name="figure"),
    path("home/", pages.home, name="home"),
    path("customers/<int:customer_id>/sign-ins/", pages.sign_ins, name="sign_ins"),
    path("portal/", pages.portal, name="portal"),
    path("portal/documents/<int:invoice_id>/", pages.portal_document, name="portal_document"),
    path("search", pages.find, name="search"),
    path("healthz", pages.healthz, name="healthz"),
    path("readyz", pages.readyz, name="readyz"),
]
