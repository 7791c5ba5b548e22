from django.urls import path

from topline.quotes import pages

app_name = "quotes"
urlpatterns = [
    path("", pages.quote_list, name="quotes"),
    path("new/", pages.new, name="new"),
    path("prices/", pages.realisation, name="realisation"),
    path("<int:quote_id>/", pages.quote, name="quote"),
    path("<int:quote_id>/write/", pages.write, name="write"),
    path("<int:quote_id>/ask/", pages.ask, name="ask"),
    path("<int:quote_id>/send/", pages.send, name="send"),
    path("<int:quote_id>/mark/", pages.mark, name="mark"),
    path("<int:quote_id>/withdraw/", pages.withdraw, name="withdraw"),
    path("<int:quote_id>/pdf/", pages.pdf, name="pdf"),
    path("approvals/<int:approval_id>/", pages.decide, name="decide"),
]
