from django.urls import path

from topline.cases import pages

app_name = "cases"
urlpatterns = [
    path("", pages.cases, name="cases"),
    path("new/", pages.new_case, name="new"),
    path("<int:case_id>/", pages.case, name="case"),
    path("<int:case_id>/assumptions/", pages.set_assumptions, name="assume"),
    path("<int:case_id>/choose/", pages.choose, name="choose"),
    path("<int:case_id>/approve/", pages.approve, name="approve"),
    path("<int:case_id>/refuse/", pages.refuse, name="refuse"),
    path("<int:case_id>/close/", pages.close, name="close"),
]
