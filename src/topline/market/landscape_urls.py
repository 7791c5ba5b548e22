from django.urls import path

from topline.market import landscape_pages as pages

app_name = "landscape"
urlpatterns = [
    path("competitors/new/", pages.new_competitor, name="new_competitor"),
    path("competitors/<int:competitor_id>/", pages.competitor, name="competitor"),
    path("competitors/<int:competitor_id>/edit/", pages.edit_competitor, name="edit_competitor"),
    path("competitors/<int:competitor_id>/prices/new/", pages.new_price, name="new_price"),
    path("competitors/<int:competitor_id>/assessments/new/", pages.new_assessment, name="new_assessment"),
    path("competitors/<int:competitor_id>/battlecard/", pages.write_battlecard, name="write_battlecard"),
    path("competitors/<int:competitor_id>/battlecard/review/", pages.review_battlecard, name="review_battlecard"),
    path("assessments/<int:assessment_id>/review/", pages.review_assessment, name="review_assessment"),
    path("assessments/<int:assessment_id>/retire/", pages.retire_assessment, name="retire_assessment"),
    path("segment/describe/", pages.describe_segment, name="describe_segment"),
    path("experience/", pages.experience_page, name="experience"),
    path("experience/new/", pages.new_experience, name="new_experience"),
    path("reading/", pages.reading_path, name="reading"),
    path("reading/mark/", pages.mark_read, name="mark_read"),
    path("reading/set/", pages.set_reading_path, name="set_reading_path"),
]
