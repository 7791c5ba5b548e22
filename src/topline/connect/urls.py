from django.urls import path

from topline.connect import pages

app_name = "connect"
urlpatterns = [
    path("", pages.imports, name="imports"),
    path("upload/", pages.upload, name="upload"),
    path("<int:batch_id>/", pages.batch, name="batch"),
    path("<int:batch_id>/run/", pages.run, name="run"),
    path("<int:batch_id>/undo/", pages.undo, name="undo"),
]
