from django.urls import path

from topline.contracts import schedule_pages

app_name = "milestone_link"
urlpatterns = [path("<str:token>/", schedule_pages.milestone, name="milestone")]
