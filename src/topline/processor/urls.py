from django.urls import path

from topline.processor import pages

app_name = "processor"
urlpatterns = [
    path("", pages.intents, name="intents"),
    path("charge/", pages.charge, name="charge"),
    path("methods/<int:method_id>/drop/", pages.drop_method, name="drop_method"),
]
