from django.urls import path

from topline.quotes import public

app_name = "quote_link"
urlpatterns = [
    path("<str:token>/", public.quote, name="quote"),
    path("<str:token>/pdf/", public.pdf, name="pdf"),
    path("<str:token>/accept/", public.accept, name="accept"),
    path("<str:token>/ask/", public.ask, name="ask"),
    path("<str:token>/decline/", public.decline, name="decline"),
]
