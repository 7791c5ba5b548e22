from django.urls import path

from topline.pipeline import pages, report_pages

app_name = "pipeline"
urlpatterns = [
    path("", pages.deals, name="deals"),
    path("new/", pages.new, name="new"),
    path("board/", pages.board, name="board"),
    path("funnel/", report_pages.funnel, name="funnel"),
    path("statistics/", report_pages.statistics, name="statistics"),
    path("waterfall/", report_pages.waterfall, name="waterfall"),
    path("people/", report_pages.people, name="people"),
    path("<int:opportunity_id>/", pages.deal, name="deal"),
    path("<int:opportunity_id>/change/", pages.change, name="change"),
    path("<int:opportunity_id>/win/", pages.win, name="win"),
    path("<int:opportunity_id>/lose/", pages.lose, name="lose"),
    path("<int:opportunity_id>/move/", pages.move, name="move"),
]
