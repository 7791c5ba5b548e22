"""One small statement, made by hand, in each format: opening 1,000.00, 250.00 in, 100.50 out, closing 1,149.50 euros or dollars."""

from __future__ import annotations

CAMT = b"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">
<BkToCstmrStmt><Stmt><Id>S1</Id><ElctrncSeqNb>7</ElctrncSeqNb><CreDtTm>2026-03-05T08:00:00</CreDtTm>
<Acct><Id><IBAN>DE75512108001245126199</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-04</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1149.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-05</Dt></Dt></Bal>
<Ntry><Amt Ccy="EUR">250.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-05</Dt></BookgDt>
<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Globex</Nm></Dbtr></RltdPties><RmtInf><Ustrd>R1</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">100.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-05</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>
"""
MT940 = b""":20:S1
:25:DE75512108001245126199
:28C:7/1
:60F:C260304EUR1000,00
:61:2603050305C250,00NTRFR1
:86:166?20Invoice R1?32Globex
:61:2603050305D100,50NTRFNONREF
:86:Rent
:62F:C260305EUR1149,50
-
"""
OFX = b"""OFXHEADER:100
DATA:OFXSGML
VERSION:102

<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><BANKID>1<ACCTID>DE75512108001245126199</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20260304<DTEND>20260305
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20260305<TRNAMT>250.00<FITID>1<NAME>Globex</STMTTRN>
<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260305<TRNAMT>-100.50<FITID>2<NAME>Rent</STMTTRN>
</BANKTRANLIST><LEDGERBAL><BALAMT>1149.50<DTASOF>20260305</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""
BAI2 = b"""01,BANK,US,260305,0800,1,80,,2/
02,US,BANK,1,260305,2359,USD,2/
03,12345,USD,010,100000,,,015,114950,,/
16,195,25000,,REF1,,Globex
88,invoice R1
16,475,10050,,REF2,,Rent
49,250000,5/
98,250000,1,7/
99,250000,1,9/
"""


def _coda() -> bytes:
    def line(*parts: tuple[int, str]) -> str:
        text = [" "] * 128
        for start, part in parts:
            text[start : start + len(part)] = part
        return "".join(text)

    lines = [
        line((0, "0"), (1, "0000"), (5, "050326"), (11, "20105"), (60, "BBRUBEBB"), (127, "2")),
        line((0, "1"), (1, "2"), (2, "007"), (5, "BE68539007547034"), (39, "EUR"), (42, "0"), (43, "000000001000000"), (58, "040326"), (125, "007")),
        line((0, "21"), (2, "0001"), (6, "0000"), (31, "0"), (32, "000000000250000"), (47, "050326"), (53, "00150000"), (61, "0"), (62, "Globex R1"), (115, "050326"), (124, "0")),
        line((0, "21"), (2, "0002"), (6, "0000"), (31, "1"), (32, "000000000100500"), (47, "050326"), (53, "00150000"), (61, "0"), (62, "Rent"), (115, "050326"), (124, "0")),
        line((0, "8"), (1, "007"), (4, "BE68539007547034"), (38, "EUR"), (41, "0"), (42, "000000001149500"), (57, "050326")),
        line((0, "9"), (16, "000004"), (22, "000000000100500"), (37, "000000000250000"), (127, "2")),
    ]  # fmt: skip
    return "\n".join(lines).encode()


CODA = _coda()
NORMA43 = "\n".join(
    [
        "11" + "0182" + "0001" + "0123456789" + "260304" + "260305" + "2" + "00000000100000" + "978" + "3" + "ACME".ljust(26),
        "22    0001260305260305020182000000000250000000000001" + "R1".ljust(12) + "GLOBEX".ljust(16),
        "2301" + "GLOBEX".ljust(38) + "INVOICE R1".ljust(38),
        "22" + "    " + "0001" + "260305" + "260305" + "03" + "022" + "1" + "00000000010050" + "0000000002" + " " * 28,
        "3301820001012345678900001000000000100500000100000000025000200000000114950978",
        "88" + "9" * 18 + "000005",
    ]
).encode()
CSV = b"""Date;Description;Amount;Balance;Currency
2026-03-05;Globex R1;250.00;1250.00;EUR
2026-03-05;Rent;-100.50;1149.50;EUR
"""
ALL = {"camt": CAMT, "mt940": MT940, "ofx": OFX, "bai2": BAI2, "coda": CODA, "norma43": NORMA43, "csv": CSV}
