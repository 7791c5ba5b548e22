"""What Tryton does, run by the interpreter of its own environment: subscriptions of two lines with 20 % tax, invoiced and posted; prints JSON.

    python work.py COUNT

The database is that of TRYTOND_DATABASE_URI (SQLite in memory where it is not set). Setting up is not measured; the two wizards that a clerk starts
(consumption, invoices) and the posting of all invoices are.
"""

import datetime
import json
import sys
import time
from decimal import Decimal

import trytond
from proteus import Model, Wizard
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, create_tax, get_accounts
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.modules.company.tests.tools import create_company
from trytond.tests.tools import activate_modules

STARTS, BILLED = datetime.date(2026, 1, 1), datetime.date(2026, 2, 1)


def set_up(count: int) -> None:
    """A company with accounts, a fiscal year, a tax, two services, and running subscriptions of one customer each."""
    activate_modules(["sale_subscription"], create_company, create_chart)
    year = set_fiscalyear_invoice_sequences(create_fiscalyear(today=BILLED))
    year.click("create_period")
    tax = create_tax(Decimal("0.20"))
    tax.save()
    category = Model.get("product.category")(name="Services", accounting=True)
    category.account_revenue = get_accounts()["revenue"]
    category.customer_taxes.append(Model.get("account.tax")(tax.id))
    category.save()
    monthly = Model.get("sale.subscription.recurrence.rule.set")(name="Monthly")
    monthly.rules[0].freq = "monthly"
    monthly.rules[0].interval = 1
    monthly.save()
    services = [_service(name, price, category, monthly) for name, price in (("Seats", "19.00"), ("Support", "45.00"))]
    Party, Subscription = Model.get("party.party"), Model.get("sale.subscription")  # noqa: N806
    made = []
    for n in range(count):
        party = Party(name=f"Subscriber {n}")
        party.save()
        one = Subscription(party=party, start_date=STARTS, invoice_start_date=BILLED, invoice_recurrence=monthly)
        for service in services:
            line = one.lines.new()
            line.service = service
            line.quantity = n % 20 + 1
        one.save()
        made.append(one)
    Subscription.click(made, "quote")
    Subscription.click(made, "run")


def _service(name, price, category, monthly):
    unit = Model.get("product.uom").find([("name", "=", "Unit")])[0]
    template = Model.get("product.template")(
        name=name, default_uom=unit, type="service", list_price=Decimal(price), account_category=category
    )
    template.salable = True
    template.save()
    service = Model.get("sale.subscription.service")(product=template.products[0], consumption_recurrence=monthly)
    service.save()
    return service


def bill() -> int:
    """Consumption of the period, invoices of it, all posted; returns how many."""
    consumption = Wizard("sale.subscription.line.consumption.create")
    consumption.form.date = STARTS
    consumption.execute("create_")
    invoicing = Wizard("sale.subscription.create_invoice")
    invoicing.form.date = BILLED
    invoicing.execute("create_")
    Invoice = Model.get("account.invoice")  # noqa: N806
    invoices = Invoice.find([])
    Invoice.click(invoices, "post")
    return len(Invoice.find([("state", "=", "posted"), ("tax_amount", ">", 0)]))


def main(count: int) -> None:
    set_up(count)
    start, cpu = time.perf_counter(), time.process_time()
    posted = bill()
    took = time.perf_counter() - start
    lines = len(Model.get("account.invoice.line").find([]))
    if (posted, lines) != (count, 2 * count):
        raise SystemExit(f"{posted} of {count} invoices were posted, with {lines} lines.")
    print(json.dumps({"version": trytond.__version__, "posted": posted, "seconds": took, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
