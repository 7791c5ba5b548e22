from django.urls import path

from topline.books import pages

app_name = "books"
urlpatterns = [
    path("", pages.trial_balance, name="trial_balance"),
    path("company/", pages.describe, name="describe"),
    path("entries/", pages.entries, name="entries"),
    path("entries/new/", pages.new_entry, name="new_entry"),
    path("entries/<int:entry_id>/reverse/", pages.reverse_entry, name="reverse_entry"),
    path("lock/", pages.lock, name="lock"),
    path("rates/", pages.exchange_rates, name="rates"),
    path("rates/new/", pages.new_rate, name="new_rate"),
    path("entries/<int:entry_id>/", pages.entry, name="entry"),
    path("accounts/<int:account_id>/", pages.account, name="account"),
]
