from django.urls import path

from topline.treasury import pages

app_name = "treasury"
urlpatterns = [
    path("", pages.cash, name="cash"),
    path("scenarios/", pages.scenarios, name="scenarios"),
    path("variance/", pages.variance, name="variance"),
    path("outflows/", pages.plan_outflow, name="plan_outflow"),
    path("outflows/<int:outflow_id>/drop/", pages.drop_outflow, name="drop_outflow"),
    path("payroll/<int:plan_id>/", pages.payroll, name="payroll"),
]
