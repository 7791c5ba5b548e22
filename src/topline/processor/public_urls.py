from django.urls import path

from topline.processor import public

app_name = "pay"
urlpatterns = [
    path("i/<str:token>/pay/", public.pay, name="invoice"),
    path("pay/simulator/<str:ref>/", public.simulated, name="simulator"),
    path("webhooks/<str:processor>/", public.webhook, name="webhook"),
]
