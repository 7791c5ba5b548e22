from django.urls import path

from topline.billing import pages

app_name = "billing"
urlpatterns = [
    path("", pages.invoices, name="invoices"),
    path("new/", pages.new_invoice, name="new_invoice"),
    path("<int:invoice_id>/", pages.invoice, name="invoice"),
    path("<int:invoice_id>/send/", pages.send, name="send"),
    path("<int:invoice_id>/void/", pages.void, name="void"),
    path("<int:invoice_id>/credit/", pages.credit, name="credit"),
]
