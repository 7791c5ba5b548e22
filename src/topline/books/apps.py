from django.apps import AppConfig


class BooksConfig(AppConfig):
    name = "topline.books"
    label = "books"
