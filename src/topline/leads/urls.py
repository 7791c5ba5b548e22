from django.urls import path

from topline.leads import pages

app_name = "leads"
urlpatterns = [
    path("", pages.lead_list, name="leads"),
    path("new/", pages.new, name="new"),
    path("score/", pages.score, name="score"),
    path("campaigns/", pages.campaign_list, name="campaigns"),
    path("campaigns/new/", pages.new_campaign, name="new_campaign"),
    path("<int:lead_id>/", pages.lead, name="lead"),
    path("<int:lead_id>/change/", pages.change, name="change"),
    path("<int:lead_id>/qualify/", pages.qualify, name="qualify"),
    path("<int:lead_id>/disqualify/", pages.disqualify, name="disqualify"),
    path("<int:lead_id>/convert/", pages.convert, name="convert"),
]
