"""Where every room's pages hang."""

from django.urls import URLPattern, URLResolver, include, path

from topline.api.assembly import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("topline.web.urls")),
    path("customers/", include("topline.market.urls")),
    path("market/", include("topline.market.landscape_urls")),
    path("catalog/", include("topline.catalog.urls")),
    path("pipeline/", include("topline.pipeline.urls")),
    path("leads/", include("topline.leads.urls")),
    path("quotes/", include("topline.quotes.urls")),
    path("", include("topline.processor.public_urls")),
    path("i/", include("topline.billing.link_urls")),
    path("m/", include("topline.contracts.link_urls")),
    path("q/", include("topline.quotes.link_urls")),
    path("usage/", include("topline.metering.urls")),
    path("contracts/", include("topline.contracts.urls")),
    path("revenue/", include("topline.recognition.urls")),
    path("invoices/", include("topline.billing.urls")),
    path("payments/online/", include("topline.processor.urls")),
    path("", include("topline.receivables.urls")),
    path("collections/", include("topline.collections.urls")),
    path("bank/", include("topline.bank.urls")),
    path("cash/", include("topline.treasury.urls")),
    path("cases/", include("topline.cases.urls")),
    path("lifecycle/", include("topline.lifecycle.urls")),
    path("books/", include("topline.books.urls")),
    path("import/", include("topline.connect.urls")),
    path("team/", include("topline.team.urls")),
    path("sign-in/", include("allauth.urls")),
    path("api/", api.urls),
]

handler404 = "topline.web.pages.not_found"
