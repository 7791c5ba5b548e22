from django.urls import path

from topline.collections import interest_pages, ladder_pages, pages

app_name = "collections"
urlpatterns = [
    path("", pages.day_list, name="worklist"),
    path("board/", pages.board, name="board"),
    path("board/ways/", pages.ways, name="ways"),
    path("ladders/", ladder_pages.ladders, name="ladders"),
    path("ladders/set/", ladder_pages.ladder, name="ladder"),
    path("reference-rates/", interest_pages.rates, name="rates"),
    path("<int:customer_id>/", pages.workspace, name="workspace"),
    path("<int:customer_id>/interest/", interest_pages.claim, name="claim_interest"),
    path("<int:customer_id>/call/", pages.call, name="call"),
    path("<int:customer_id>/promise/", pages.promise, name="promise"),
    path("<int:customer_id>/dispute/", pages.dispute, name="dispute"),
    path("<int:customer_id>/plan/", pages.plan, name="plan"),
    path("<int:customer_id>/remind/", pages.remind, name="remind"),
    path("<int:customer_id>/hold/", pages.hold, name="hold"),
    path("<int:customer_id>/snooze/", pages.snooze, name="snooze"),
    path("<int:customer_id>/offers/<int:offer_id>/write/", pages.write_offer, name="write_offer"),
    path("disputes/<int:dispute_id>/resolve/", pages.resolve, name="resolve"),
    path("promises/<int:promise_id>/withdraw/", pages.withdraw_promise, name="withdraw_promise"),
    path("plans/<int:plan_id>/cancel/", pages.cancel_plan, name="cancel_plan"),
    path("reminders/<int:reminder_id>/release/", pages.release, name="release"),
    path("reminders/<int:reminder_id>/drop/", pages.drop, name="drop"),
]
