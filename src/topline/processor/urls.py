from django.urls import path

from topline.processor import pages

app_name = "processor"
urlpatterns = [
    path("", pages.intents, name="intents"),
    path("charge/", pages.charge, name="charge"),
    path("<int:intent_id>/refund/", pages.refund, name="refund"),
    path("refunds/<int:refund_id>/book/", pages.book_refund, name="book_refund"),
    path("methods/<int:method_id>/drop/", pages.drop_method, name="drop_method"),
]
