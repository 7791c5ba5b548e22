"""Every real file that is read can be booked, agrees with its own closing balance in the ledger, and changes nothing the second time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.bank.formats.bank_files import FOLDERS, cases, read_case
from topline.bank import actions
from topline.books import queries as books


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_files_of_a_folder_are_booked_once(shared, owner, entity, folder):
    for number, case in enumerate(case for case in cases(folder) if case.rows[0][0] != "refused"):
        statements = read_case(case, shared / "data")
        accounts = {}
        for account, currency in {(s.account, s.currency): None for s in statements}:
            accounts[account, currency] = actions.add_account(
                actor=owner,
                entity_id=entity.pk,
                name=f"{number} {account} {currency}",
                currency=currency,
                number=f"{number}X{account}",
            )
        statements = [s for s in statements if s.entries or s.closing_on or s.opening_on]  # two are empty and undated
        if any(statement.currency == "DEM" for statement in statements):
            continue  # a company in euros has no rate for marks, and its books say so
        _book(owner, entity, case, statements, accounts)


def _book(owner, entity, case, statements, accounts):
    chains: dict[int, list] = {}
    for statement in statements:
        account = accounts[statement.account, statement.currency]
        found = [
            actions.import_statements(
                actor=owner,
                entity_id=entity.pk,
                statements=[statement],
                file_name=case.file,
                file_sha256="f" * 64,
                format="test",
                default_account_id=account,
            )
            for _ in range(2)
        ]
        assert found[0]["lines_new"][0] == len(statement.entries), case.id
        assert (found[1]["statement_id"][0], found[1]["lines_new"][0]) == (None, 0), case.id
        chains.setdefault(account, []).append(statement)
    for account, chain in chains.items():
        whole = all(s.kind == "statement" and s.opening_minor is not None and s.closing_minor is not None for s in chain)
        if whole and all(a.closing_minor == b.opening_minor for a, b in pairwise(chain)):
            balance = books.role_balances(entity_id=entity.pk, role=f"bank:{account}").get(chain[0].currency, 0)
            assert balance == chain[-1].closing_minor, case.id
