from django.urls import path

from topline.treasury import offer_pages, pages

app_name = "treasury"
urlpatterns = [
    path("", pages.cash, name="cash"),
    path("scenarios/", pages.scenarios, name="scenarios"),
    path("variance/", pages.variance, name="variance"),
    path("outflows/", pages.plan_outflow, name="plan_outflow"),
    path("outflows/<int:outflow_id>/drop/", pages.drop_outflow, name="drop_outflow"),
    path("outflows/<int:outflow_id>/defer/", pages.defer_outflow, name="defer_outflow"),
    path("deferrals/<int:deferral_id>/undo/", pages.undo_deferral, name="undo_deferral"),
    path("offers/", offer_pages.offers_page, name="offers"),
    path("offers/on/<int:invoice_id>/", offer_pages.offer, name="offer"),
    path("offers/make/", offer_pages.make, name="make_offers"),
    path("offers/<int:offer_id>/withdraw/", offer_pages.withdraw, name="withdraw_offer"),
    path("offers/<int:offer_id>/write/", offer_pages.write, name="write_offer"),
    path("payroll/<int:plan_id>/", pages.payroll, name="payroll"),
]
