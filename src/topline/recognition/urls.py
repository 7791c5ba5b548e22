from django.urls import path

from topline.recognition import judgement_pages, pages

app_name = "recognition"
urlpatterns = [
    path("", pages.months, name="months"),
    path("close/", pages.close, name="close"),
    path("waterfall/", pages.waterfall, name="waterfall"),
    path("remaining/", pages.remaining, name="remaining"),
    path("rules/", pages.rules, name="rules"),
    path("rules/set/", pages.product_rule, name="product_rule"),
    path("contracts/<int:contract_id>/", pages.contract, name="contract"),
    path("costs/", pages.costs, name="costs"),
    path("prices/", judgement_pages.prices, name="prices"),
    path("prices/set/", judgement_pages.set_price, name="set_price"),
    path("what-if/", judgement_pages.product_what_if, name="product_what_if"),
    path("contracts/<int:contract_id>/what-if/", judgement_pages.what_if, name="what_if"),
    path("contracts/<int:contract_id>/variable/", judgement_pages.add_variable, name="add_variable"),
    path("variable/<int:element_id>/", judgement_pages.estimate, name="estimate"),
    path("amendments/<int:amendment_id>/treatment/", judgement_pages.treat, name="treat"),
    path("contracts/<int:contract_id>/cost/", pages.cost, name="cost"),
    path("items/<int:item_id>/rule/", pages.item_rule, name="item_rule"),
    path("items/<int:item_id>/accept/", pages.accept, name="accept"),
]
