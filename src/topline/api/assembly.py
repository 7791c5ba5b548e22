"""All rooms' nouns and verbs under /api/v1, their description at /api/docs."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase
from ninja.openapi.schema import OpenAPISchema

from topline.api import problems
from topline.api.parsing import StrictParser
from topline.bank.api import room as bank
from topline.billing.api import room as billing
from topline.books.api import room as books
from topline.cases.api import room as cases
from topline.catalog.api import room as catalog
from topline.collections.api import room as collections
from topline.connect.api import room as connect
from topline.contracts.api import room as contracts
from topline.contracts.wallet_api import room as credits_
from topline.leads.api import room as leads
from topline.lifecycle.api import room as lifecycle
from topline.market.api import room as market
from topline.market.landscape_api import room as landscape
from topline.metering.api import room as metering
from topline.pipeline.api import room as pipeline
from topline.processor.api import room as processor
from topline.quotes.api import room as quotes
from topline.receivables.api import room as receivables
from topline.recognition.api import room as recognition
from topline.team.api import room as team
from topline.timeline.api import room as timeline
from topline.treasury.api import room as treasury

DESCRIPTION = """
Amounts are integers in minor units with a currency; days are written 2026-01-31.

**Token.** `Authorization: Bearer tl_...`, made under Team, Account. A call needs a role *and* a scope that allow it.
**Changes** are POSTs and need the header `Idempotency-Key`: repeated with the same body they answer the same and change
nothing; with another body they are refused (409).
**Lists** come in pages in the order of ids: pass `next_cursor` as `cursor` until it is null.
**Refusals** are `application/problem+json` with a stable `code`, the `field`, and a `remedy`.
"""


class Docs(DocsBase):
    """The description as a page; its script and style are served by us, nothing stands inline."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """The page that reads openapi.json."""
        return render(request, "api/docs.html", {"openapi_url": self.get_openapi_url(api, kwargs)})


class Described(NinjaAPI):
    """An API whose description is made once: it says the same as long as the process lives, and takes seconds to make."""

    @cache  # noqa: B019  there is one, and it lives as long as the process
    def described(self, path_prefix: str) -> OpenAPISchema:
        """The description of what stands under a path."""
        return super().get_openapi_schema(path_prefix=path_prefix)

    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None) -> OpenAPISchema:
        """See NinjaAPI."""
        return self.described(path_prefix or self.get_root_path(path_params or {}))


api = Described(
    title="Topline",
    version="1",
    description=DESCRIPTION,
    docs=Docs(),
    docs_url="/docs",
    openapi_url="/openapi.json",
    parser=StrictParser(),
    urls_namespace="api",
)
problems.install(api)
for room in (
    market,
    landscape,
    catalog,
    pipeline,
    leads,
    quotes,
    billing,
    metering,
    contracts,
    credits_,
    recognition,
    receivables,
    processor,
    collections,
    bank,
    treasury,
    cases,
    lifecycle,
    books,
    timeline,
    team,
    connect,
):
    api.add_router("/v1", room)
