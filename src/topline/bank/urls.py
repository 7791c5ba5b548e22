from django.urls import path

from topline.bank import pages

app_name = "bank"
urlpatterns = [
    path("", pages.accounts, name="accounts"),
    path("new/", pages.new_account, name="new_account"),
    path("<int:bank_account_id>/", pages.account, name="account"),
    path("<int:bank_account_id>/change/", pages.change_account, name="change_account"),
]
