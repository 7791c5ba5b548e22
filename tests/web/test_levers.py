"""The card of levers on Today and on Cash: each with its figures and its button, in the order that the address names."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from topline.bank import actions as bank
from topline.kernel import clock
from topline.team.models import Task
from topline.treasury import actions as treasury
from topline.treasury.models import OutflowDeferral

pytestmark = pytest.mark.django_db


@pytest.fixture
def early(acme, owner):
    """The morning of 2 March: the salaries of 25 March are not covered, 900.00 of rent and 500.00 of paper leave before them."""
    treasury.plan_outflow(
        actor=owner, entity_id=acme.entity.pk, name="Paper", currency="EUR", amount_minor=500_00, first_on=date(2026, 3, 12), frequency="once", kind="vendor"
    )  # fmt: skip
    bank.change_account(
        actor=owner, bank_account_id=acme.bank_account, changes={"credit_line_minor": 9_000_00, "credit_line_bps": 950}
    )
    with clock.at(datetime(2026, 3, 2, 9, tzinfo=UTC)):
        yield acme


def section(page: str) -> str:
    return page[page.index('id="levers"') : page.index('id="periods"')]


def test_levers_stand_on_both_pages_with_what_they_gain_cost_and_take(browser, early):
    today = browser.get("/").content.decode()
    cash = section(browser.get("/cash/").content.decode())
    for page in (today, cash):
        assert "of the credit line on House bank" in page and "9.5 % a year" in page
        assert "in 1 day" in page and "Make it a task" in page
    assert "Put Paper of 12 Mar off to" in cash and "costs" in cash
    assert "Put Paper" not in cash.replace("Put Paper of 12 Mar off to", "")
    assert "owners may lend" in cash


def test_the_button_of_a_deferral_does_it_and_the_card_no_longer_names_it(browser, early):
    cash = section(browser.get("/cash/").content.decode())
    address, rest = re.search(r'action="(/cash/outflows/\d+/defer/)">(.*?)</form>', cash, re.DOTALL).groups()
    inputs = dict(re.findall(r'name="(occurs_on|moved_to|reason)" value="([^"]*)"', rest))
    assert browser.post(address, inputs).status_code == 302
    made = OutflowDeferral.objects.get()
    assert (made.outflow.name, made.occurs_on) == ("Paper", date(2026, 3, 12)) and "Salaries" in made.reason
    assert "Put Paper of 12 Mar" not in section(browser.get("/cash/").content.decode())


def test_the_button_of_a_drawing_gives_treasury_a_task_until_the_day(browser, early):
    cash = section(browser.get("/cash/").content.decode())
    rest = cash[cash.index('action="/team/tasks/add/"') :]
    inputs = dict(re.findall(r'name="(title|assignee|due_on)" value="([^"]*)"', rest[: rest.index("</form>")]))
    assert browser.post("/team/tasks/add/", inputs).status_code == 302
    task = Task.objects.get()
    assert task.title.startswith("Draw ") and task.due_on == date(2026, 3, 24)


def test_the_address_names_the_order_and_an_unknown_one_is_refused(browser, early):
    def titles(order):
        return re.findall(r"<li><div><p>(.*?)</p>", section(browser.get(f"/cash/?levers={order}").content.decode()))

    assert sorted(titles("days")) == sorted(titles("cost"))
    assert '<strong aria-current="true">soonest</strong>' in browser.get("/?levers=days").content.decode()
    answer = browser.get("/?levers=size")
    assert answer.status_code in {400, 422} and b"Use one of cost, effect, days." in answer.content


def test_who_may_not_act_sees_figures_without_buttons(sign_in, early):
    cash = section(sign_in("Auditor").get("/cash/").content.decode())
    assert "of the credit line on House bank" in cash
    assert "<form" not in cash


def test_a_past_day_shows_levers_without_buttons(browser, early):
    with clock.at(datetime(2026, 6, 2, 9, tzinfo=UTC)):
        cash = section(browser.get("/cash/?as_of=2026-03-02").content.decode())
    march = cash[: cash.index("Salaries on", cash.index("Salaries on") + 5)] if cash.count("Salaries on") > 1 else cash
    assert "of the credit line" in march and "Make it a task" not in march


def test_where_all_is_safe_the_card_says_so(browser, entity):
    assert "No payroll, tax or vendor that cannot wait is planned." in browser.get("/cash/").content.decode()
