"""Reads of the timeline: the spine of customer pages and of the portal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
from django.db.models import Q

from topline.kernel import bulk
from topline.timeline.kinds import KINDS
from topline.timeline.models import Milestone


def milestones(
    *,
    customer_ids: list[int] | None = None,
    subject: tuple[str, int] | None = None,
    stage: str = "",
    kinds: Sequence[str] = (),
    only_visible_to_customer: bool = False,
    limit: int = 50,
    older_than: tuple[date, int] | None = None,
) -> pl.DataFrame:
    """Milestones of customers or of one document, newest first; older_than: the day and id of the last one already shown.

    returns  id, kind, label, stage, tone, occurred_on, recorded_at, customer_id, subject_kind, subject_id, actor_key,
             amount_minor, currency, note, visible_to_customer
    """
    rows = Milestone.objects.all()
    if customer_ids is not None:
        rows = rows.filter(customer_id__in=customer_ids)
    if subject is not None:
        rows = rows.filter(subject_kind=subject[0], subject_id=subject[1])
    if stage:
        rows = rows.filter(kind__in=[kind for kind, known in KINDS.items() if known.stage == stage])
    if kinds:
        rows = rows.filter(kind__in=list(kinds))
    if only_visible_to_customer:
        rows = rows.filter(visible_to_customer=True)
    if older_than is not None:
        day, last = older_than
        rows = rows.filter(Q(occurred_on__lt=day) | Q(occurred_on=day, pk__lt=last))
    columns = [f.attname for f in Milestone._meta.concrete_fields]
    frame = bulk.read(rows.order_by("-occurred_on", "-id").values(*columns)[:limit])
    words = pl.DataFrame([{"kind": k, "label": m.label, "stage": m.stage, "tone": m.tone} for k, m in KINDS.items()])
    return frame.join(words, on="kind", how="left", maintain_order="left").with_columns(pl.col("label").fill_null(pl.col("kind")))
