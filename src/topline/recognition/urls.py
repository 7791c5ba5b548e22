from django.urls import path

from topline.recognition import pages

app_name = "recognition"
urlpatterns = [
    path("", pages.months, name="months"),
    path("close/", pages.close, name="close"),
    path("waterfall/", pages.waterfall, name="waterfall"),
    path("remaining/", pages.remaining, name="remaining"),
    path("rules/", pages.rules, name="rules"),
    path("rules/set/", pages.product_rule, name="product_rule"),
    path("contracts/<int:contract_id>/", pages.contract, name="contract"),
    path("contracts/<int:contract_id>/cost/", pages.cost, name="cost"),
    path("items/<int:item_id>/rule/", pages.item_rule, name="item_rule"),
    path("items/<int:item_id>/accept/", pages.accept, name="accept"),
]
