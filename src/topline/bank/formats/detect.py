"""What a bank file is, told by its content, never by its name."""

from __future__ import annotations

import re
from typing import Literal

Format = Literal["camt", "mt940", "ofx", "qif", "bai2", "coda", "norma43", "xlsx", "zip", "csv", "xml", "pdf", "unknown"]


def detect(content: bytes) -> Format:
    """The format whose marks the content bears."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x00\x01")
    text = head.decode("latin-1")
    first = text.splitlines()[0] if text else ""
    if head.startswith(b"PK\x03\x04"):
        return "xlsx" if b"xl/" in content else "zip"
    if head.startswith(b"%PDF"):
        return "pdf"
    if "OFXHEADER" in text or re.search(r"<OFX>", text, re.IGNORECASE):
        return "ofx"
    if head.startswith(b"<"):
        return "camt" if re.search(rb"BkToCstmr|camt\.05[234]", content[:65_536]) else "xml"
    if re.search(r"^:(13D?|2[058]C?|25P|34F|6[0-5][FM]?|86|90[CD]):", text, re.MULTILINE) or "{4:" in text:
        return "mt940"
    if text.startswith(("!Type:", "!Account")):
        return "qif"
    if re.match(r"01,[^,]*,[^,]*,\d{6},", first):
        return "bai2"
    if len(first) >= 127 and re.match(r"0{5}\d{6}", first):
        return "coda"
    if first.startswith("11") and 60 <= len(first) <= 82 and first[2:20].isdigit():
        return "norma43"
    return "csv" if re.search(r"[,;\t|]", text) else "unknown"
