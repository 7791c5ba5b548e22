"""The ledger of transfers: accounts, entries, periods, seals. It knows documents by their keys only."""
