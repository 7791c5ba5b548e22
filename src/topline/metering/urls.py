from django.urls import path

from topline.metering import pages

app_name = "metering"
urlpatterns = [
    path("", pages.usage, name="usage"),
    path("meters/new/", pages.new_meter, name="new_meter"),
    path("strays/place/", pages.place_strays, name="place_strays"),
]
