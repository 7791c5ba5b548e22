from django.urls import path

from topline.contracts import explain_pages, pages, recurring_pages, renewal_pages, run_pages, schedule_pages

app_name = "contracts"
urlpatterns = [
    path("", pages.contract_list, name="contracts"),
    path("new/", pages.new, name="new"),
    path("from-quote/<int:quote_id>/", pages.from_quote, name="from_quote"),
    path("use/", pages.in_use, name="in_use"),
    path("use/late/", pages.set_late_usage, name="set_late_usage"),
    path("renewals/", renewal_pages.renewals, name="renewals"),
    path("<int:contract_id>/quote-renewal/", renewal_pages.quote_renewal, name="quote_renewal"),
    path("recurring/", recurring_pages.recurring_revenue, name="recurring"),
    path("documents/<int:invoice_id>/explained/", explain_pages.explained, name="explained"),
    path("schedules/", schedule_pages.schedule_list, name="schedules"),
    path("items/<int:item_id>/schedule/", schedule_pages.schedule, name="schedule"),
    path("parts/<int:part_id>/accept/", schedule_pages.accept, name="accept"),
    path("parts/<int:part_id>/withdraw/", schedule_pages.withdraw, name="withdraw"),
    path("parts/<int:part_id>/drop/", schedule_pages.drop, name="drop"),
    path("parts/<int:part_id>/ask/", schedule_pages.ask, name="ask"),
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
    path("<int:contract_id>/discounts/new/", pages.new_discount, name="new_discount"),
    path("<int:contract_id>/discounts/<int:discount_id>/end/", pages.end_discount, name="end_discount"),
    path("<int:contract_id>/amend/<str:kind>/", pages.amend, name="amend"),
]
