from django.urls import path

from topline.pipeline import pages, plan_pages, rep_pages, report_pages, rival_pages, stage_pages

app_name = "pipeline"
urlpatterns = [
    path("", pages.deals, name="deals"),
    path("new/", pages.new, name="new"),
    path("board/", pages.board, name="board"),
    path("funnel/", report_pages.funnel, name="funnel"),
    path("stages/", stage_pages.set_stages, name="stages"),
    path("statistics/", report_pages.statistics, name="statistics"),
    path("waterfall/", report_pages.waterfall, name="waterfall"),
    path("people/", report_pages.people, name="people"),
    path("people/new/", rep_pages.new_rep, name="new_rep"),
    path("people/<int:rep_id>/", rep_pages.change_rep, name="change_rep"),
    path("territories/", rival_pages.territory_list, name="territories"),
    path("territories/set/", rival_pages.set_territories, name="set_territories"),
    path("against/<int:competitor_id>/", rival_pages.against, name="against"),
    path("quotas/", plan_pages.plan, name="quotas"),
    path("quotas/set/", plan_pages.set_quota, name="set_quota"),
    path("quotas/split/", plan_pages.split, name="split"),
    path("forecast/", plan_pages.sales_forecast, name="forecast"),
    path("forecast/<int:rep_id>/call/", plan_pages.call, name="call"),
    path("accuracy/", plan_pages.accuracy, name="accuracy"),
    path("accuracy/rehearse/", plan_pages.rehearse, name="rehearse"),
    path("<int:opportunity_id>/", pages.deal, name="deal"),
    path("<int:opportunity_id>/change/", pages.change, name="change"),
    path("<int:opportunity_id>/win/", pages.win, name="win"),
    path("<int:opportunity_id>/lose/", pages.lose, name="lose"),
    path("<int:opportunity_id>/lines/", rival_pages.set_lines, name="set_lines"),
    path("<int:opportunity_id>/contact/", rival_pages.set_contact, name="set_contact"),
    path("<int:opportunity_id>/competitors/", rival_pages.set_competitors, name="set_competitors"),
    path("<int:opportunity_id>/move/", pages.move, name="move"),
]
