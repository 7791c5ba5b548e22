from django.urls import path

from topline.billing import public

app_name = "invoice_link"
urlpatterns = [
    path("<str:token>/", public.document, name="document"),
    path("<str:token>/pdf/", public.pdf, name="pdf"),
    path("<str:token>/xml/<str:syntax>/", public.xml, name="xml"),
]
