"""The verb for the steps of the way to a deal."""

from __future__ import annotations

import polars as pl

from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, ensure
from topline.pipeline.models import Category, Opportunity, OpportunityChange, Stage


class StageInUse(Conflict):
    """Deals stand in the stage, or their history names it."""

    code = "stage_in_use"


@action("pipeline.set_stages")
def set_stages(*, actor: Actor, stages: pl.DataFrame) -> int:
    """Say which steps lead to a deal, in their order; returns how many. Steps left out go, unless a deal stands or stood in them.

    stages  one row per step in order: key, name, kind (open, won, lost), category (the usual forecast category), is_qualified
    Raises: Invalid (not exactly one won and one lost, no open one, a closed one before an open one, key twice, unknown kind or category),
            StageInUse.
    """
    kinds = stages["kind"].to_list()
    one_end = kinds.count("won") == 1 and kinds.count("lost") == 1 and kinds.count("open") == len(kinds) - 2 >= 1
    ensure(
        one_end and set(kinds[-2:]) == {"won", "lost"},
        Invalid(
            "The stages are open ones, then one that is won and one that is lost.", field="kind", remedy="Put won and lost last."
        ),
    )
    odd = stages.filter(~pl.col("category").is_in(list(Category.values)))["category"]
    ensure(odd.is_empty(), Invalid(f"{odd[0] if odd.len() else ''} is no forecast category.", field="category"))
    blank = stages.filter((pl.col("key") == "") | (pl.col("name") == "") | pl.col("key").is_duplicated())
    ensure(blank.is_empty(), Invalid("Every stage has a key and a name of its own.", field="key"))
    keys = stages["key"].to_list()
    gone = Stage.objects.exclude(key__in=keys)
    kept = {s.key: s for s in Stage.objects.filter(key__in=keys)}
    turned = [row["key"] for row in stages.to_dicts() if row["key"] in kept and kept[row["key"]].kind != row["kind"]]
    risky = [*gone.values_list("key", flat=True), *turned]
    named = list(OpportunityChange.objects.filter(field="stage", after__in=risky).values_list("after", flat=True)[:1])
    stands = list(Opportunity.objects.filter(stage__key__in=risky).values_list("stage__key", flat=True)[:1])
    for key in [*named, *stands]:
        raise StageInUse(f"Deals stand or stood in {key}.", field="key", remedy="Keep the stage; rename it if you like.")
    gone.delete()
    for key in turned:
        kept.pop(key).delete()
    for position, row in enumerate(stages.select("key", "name", "kind", "category", "is_qualified").to_dicts()):
        Stage.objects.update_or_create(key=row["key"], defaults={**row, "position": position})
    changed("stages", 0, after={"stages": keys})
    return len(keys)
