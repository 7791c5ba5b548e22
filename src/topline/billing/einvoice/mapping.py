"""One table per syntax says where each term stands; the same table writes a document and reads one.

A path is relative to the element of its record. `a/b` puts b below the last a if that is the newest element, else below a new one;
`+a` always begins a new one; `a[@x=y]` is an a whose attribute x is y; `/@x` at the end is an attribute of what stands before it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree

from topline.kernel.errors import Invalid

_STEP = re.compile(r"(\+?)([\w.-]+:[\w.-]+)(?:\[@([\w:]+)=([^\]]+)\])?$")


class EInvoiceRefused(Invalid):
    """A file is no electronic invoice, or says something that cannot be read."""

    code = "e_invoice_refused"


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of value is written and read; an amount carries the document's currency in the attribute named."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]
    currency_in: str = ""


def _number(text: str) -> Decimal:
    found = Decimal(text.strip())
    if not found.is_finite():
        raise InvalidOperation
    return found


def _truth(text: str) -> bool:
    return {"true": True, "false": False, "1": True, "0": False}[text.strip()]


TEXT = Form(str, str.strip)
NUMBER = Form(lambda value: f"{value:f}", _number)
AMOUNT = Form(lambda value: f"{value:f}", _number, currency_in="currencyID")
DAY = Form(date.isoformat, lambda text: date.fromisoformat(text.strip()[:10]))
DAY_102 = Form(lambda value: f"{value:%Y%m%d}", lambda text: date.fromisoformat(text.strip()))
COUNT = Form(str, lambda text: int(float(text)))
FILE = Form(lambda value: base64.b64encode(value).decode(), lambda text: base64.b64decode("".join(text.split()), validate=True))
TRUTH = Form(lambda value: "true" if value else "false", _truth)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a record. `read`: an XPath, where the path alone could mean another element; without a path it is only read.

    first  constants that stand before it, below the record's element
    also   constants that follow it, below the element that holds it
    """

    name: str
    path: str
    form: Form = TEXT
    read: str = ""
    first: tuple[tuple[str, str], ...] = ()
    also: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """What stands in every such record."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """Records below a record: one, or a row of them."""

    name: str
    path: str
    of: type
    parts: tuple[Value | Constant | Part, ...]
    many: bool = False
    read: str = ""
    form: Form | None = None  # a row of bare values


@dataclass(frozen=True, slots=True)
class Syntax:
    """A syntax: its root, the namespaces of its prefixes and what stands where. `currency`: the XPath of the document's currency."""

    root: str
    namespaces: Mapping[str, str]
    currency: str
    parts: tuple[Value | Constant | Part, ...]


def write(record: Any, syntax: Syntax) -> bytes:
    """The record as XML, indented, in UTF-8."""
    root = etree.Element(_tag(syntax.root, syntax), nsmap={prefix or None: space for prefix, space in syntax.namespaces.items()})
    _write(root, record, syntax.parts, syntax, record.currency)
    etree.indent(root)
    content: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return content


def read(root: etree._Element, of: type, syntax: Syntax) -> Any:
    """The record that a document states. Raises: EInvoiceRefused (with the line) for a number, day or truth that is none."""
    stated = _find(root, syntax.currency, syntax, "")
    return _read(root, of, syntax.parts, syntax, _text(stated[0]).strip() if stated else "")


# --- writing ---
def _write(at: etree._Element, record: Any, parts: tuple[Any, ...], syntax: Syntax, currency: str) -> None:
    for part in parts:
        if isinstance(part, Constant):
            _put(at, part.path, part.text, syntax)
            continue
        value = getattr(record, part.name)
        if isinstance(part, Value):
            if part.path and value is not None and value != "":
                for path, text in part.first:
                    _put(at, path, text, syntax)
                leaf = _put(at, part.path, part.form.write(value), syntax)
                if part.form.currency_in:
                    leaf.set(part.form.currency_in, currency)
                for path, text in part.also:
                    _put(leaf.getparent(), path, text, syntax)
        elif part.form is not None:
            for each in value:
                _put(at, part.path, part.form.write(each), syntax)
        else:
            for each in value if part.many else [value] if value is not None else []:
                _write(_put(at, part.path, None, syntax) if part.path else at, each, part.parts, syntax, currency)


def _put(at: etree._Element, path: str, text: str | None, syntax: Syntax) -> etree._Element:
    """Walk a path below an element, making what is missing; the last step is made anew. Returns the element that now has the text."""
    steps = path.split("/")
    attribute = steps.pop()[1:] if steps[-1].startswith("@") else ""
    for place, step in enumerate(steps):
        match = _STEP.match(step)
        if match is None:
            raise ValueError(f"{step!r} in {path!r} is no step of a path")
        fresh, name, key, wanted = match.groups()
        newest = at[-1] if len(at) else None
        reused = (
            newest is not None and newest.tag == _tag(name, syntax) and not fresh and (key is None or newest.get(key) == wanted)
        )
        if reused and (place < len(steps) - 1 or attribute):
            at = newest
            continue
        at = etree.SubElement(at, _tag(name, syntax))
        if key:
            at.set(key, wanted)
    if attribute:
        at.set(attribute, text or "")
    elif text is not None:
        at.text = text
    return at


def _tag(name: str, syntax: Syntax) -> str:
    prefix, _, local = name.rpartition(":")
    space = syntax.namespaces[prefix] if prefix else syntax.namespaces[""]
    return f"{{{space}}}{local}"


# --- reading ---
def _read(at: etree._Element, of: type, parts: tuple[Any, ...], syntax: Syntax, currency: str) -> Any:
    known = {field.name for field in fields(of)}
    found: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Constant) or part.name not in known:
            continue
        if isinstance(part, Value):
            hits = _find(at, part.read or part.path, syntax, currency)
            text = _text(hits[0]) if hits else ""
            if text.strip():
                found[part.name] = _value(part.form, text, hits[0])
        elif part.form is not None:
            found[part.name] = tuple(
                _value(part.form, _text(hit), hit) for hit in _find(at, part.read or part.path, syntax, currency)
            )
        else:
            hits = _find(at, part.read or part.path, syntax, currency) if part.path else [at]
            records = tuple(_read(hit, part.of, part.parts, syntax, currency) for hit in hits)
            if part.many:
                found[part.name] = records
            elif records:
                found[part.name] = records[0]
    return of(**found)


def _find(at: etree._Element, path: str, syntax: Syntax, currency: str) -> list[Any]:
    spelled = re.sub(r"\[@([\w:]+)=([^'\"\]$][^\]]*)\]", r"[@\1='\2']", path.replace("+", ""))
    spaces = {prefix: space for prefix, space in syntax.namespaces.items() if prefix}
    hits: list[Any] = at.xpath(spelled, namespaces=spaces, currency=currency)
    return hits if isinstance(hits, list) else [hits]


def _text(hit: Any) -> str:
    return "".join(hit.itertext()) if isinstance(hit, etree._Element) else str(hit)


def _value(form: Form, text: str, hit: Any) -> Any:
    try:
        return form.read(text)
    except (ValueError, InvalidOperation, KeyError) as error:
        node = hit if isinstance(hit, etree._Element) else hit.getparent()
        name = etree.QName(node).localname
        raise EInvoiceRefused(
            f"Line {node.sourceline}: {text.strip()[:60]!r} in {name} cannot be read.",
            field="file",
            remedy="Ask the sender for a correct file.",
        ) from error
