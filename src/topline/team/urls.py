from django.urls import path

from topline.team import pages

app_name = "team"
urlpatterns = [
    path("", pages.members, name="members"),
    path("add/", pages.add_member, name="add_member"),
    path("<int:member_id>/roles/", pages.grant_roles, name="grant_roles"),
    path("<int:member_id>/change/", pages.change_member, name="change_member"),
    path("areas/<slug:key>/", pages.set_area, name="set_area"),
    path("tasks/", pages.tasks, name="tasks"),
    path("tasks/add/", pages.add_task, name="add_task"),
    path("tasks/<int:task_id>/finish/", pages.finish_task, name="finish_task"),
    path("audit/", pages.audit, name="audit"),
    path("account/", pages.account, name="account"),
    path("account/tokens/", pages.create_token, name="create_token"),
    path("account/tokens/<int:token_id>/revoke/", pages.revoke_token, name="revoke_token"),
]
