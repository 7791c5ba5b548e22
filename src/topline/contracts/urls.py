from django.urls import path

from topline.contracts import pages, run_pages

app_name = "contracts"
urlpatterns = [
    path("", pages.contract_list, name="contracts"),
    path("new/", pages.new, name="new"),
    path("from-quote/<int:quote_id>/", pages.from_quote, name="from_quote"),
    path("use/", pages.in_use, name="in_use"),
    path("renewals/", pages.renewals, name="renewals"),
    path("runs/", run_pages.run_list, name="runs"),
    path("runs/preview/", run_pages.preview, name="preview"),
    path("runs/start/", run_pages.start, name="start"),
    path("runs/tax-rates/", run_pages.tax_rates, name="tax_rates"),
    path("runs/parked/<int:parked_id>/release/", run_pages.release, name="release"),
    path("runs/<int:run_id>/", run_pages.run, name="run"),
    path("runs/<int:run_id>/go-on/", run_pages.go_on, name="go_on"),
    path("runs/<int:run_id>/send/", run_pages.send, name="send"),
    path("runs/<int:run_id>/sign/", run_pages.sign, name="sign"),
    path("<int:contract_id>/", pages.contract, name="contract"),
    path("<int:contract_id>/change/", pages.change, name="change"),
    path("<int:contract_id>/amend/<str:kind>/", pages.amend, name="amend"),
]
