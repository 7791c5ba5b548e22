from django.urls import path

from topline.books import pages

app_name = "books"
urlpatterns = [
    path("", pages.trial_balance, name="trial_balance"),
    path("entries/", pages.entries, name="entries"),
    path("entries/<int:entry_id>/", pages.entry, name="entry"),
    path("accounts/<int:account_id>/", pages.account, name="account"),
]
