from django.urls import path

from topline.billing import credit_pages, pages

app_name = "billing"
urlpatterns = [
    path("", pages.invoices, name="invoices"),
    path("new/", pages.new_invoice, name="new_invoice"),
    path("<int:invoice_id>/", pages.invoice, name="invoice"),
    path("check/", pages.check_file, name="check"),
    path("<int:invoice_id>/pdf/", pages.pdf, name="pdf"),
    path("<int:invoice_id>/xml/<str:syntax>/", pages.xml, name="xml"),
    path("<int:invoice_id>/send/", pages.send, name="send"),
    path("<int:invoice_id>/void/", pages.void, name="void"),
    path("<int:invoice_id>/credit/", credit_pages.credit, name="credit"),
]
