"""The default chart of accounts: what a company that sells and pays people needs, found by role, renamed at will."""

from __future__ import annotations

from topline.books.models import Account

K = Account.Kind

# code, name, kind, role
DEFAULT: list[tuple[str, str, str, str]] = [
    ("1050", "Payments in clearing", K.ASSET, "clearing"),
    ("1060", "Currency conversion", K.ASSET, "conversion"),
    ("1100", "Trade receivables", K.ASSET, "receivable"),
    ("1150", "Contract asset", K.ASSET, "contract_asset"),
    ("1160", "Costs of winning contracts", K.ASSET, "contract_costs"),
    ("1400", "Input tax", K.ASSET, "tax_input"),
    ("2000", "Trade payables", K.LIABILITY, "payable"),
    ("2100", "Wages and payroll taxes payable", K.LIABILITY, "payroll_payable"),
    ("2200", "Sales tax payable", K.LIABILITY, "tax_payable"),
    ("2300", "Unapplied customer cash", K.LIABILITY, "unapplied_cash"),
    ("2400", "Contract liability", K.LIABILITY, "contract_liability"),
    ("2410", "Refund liability", K.LIABILITY, "refund_liability"),
    ("2420", "Prepaid credits of customers", K.LIABILITY, "prepaid_credits"),
    ("3000", "Opening balances", K.EQUITY, "opening_balance"),
    ("3100", "Retained earnings", K.EQUITY, "retained_earnings"),
    ("4000", "Revenue", K.INCOME, "revenue"),
    ("4050", "Breakage of prepaid credits", K.INCOME, "breakage"),
    ("4060", "Credits given to customers", K.INCOME, "credits_granted"),
    ("4100", "Interest and late-payment compensation", K.INCOME, "late_interest"),
    ("4900", "Realised exchange gains", K.INCOME, "exchange_gain"),
    ("5000", "Cash discounts allowed", K.EXPENSE, "discount_allowed"),
    ("6000", "Wages", K.EXPENSE, "wages"),
    ("6050", "Commissions", K.EXPENSE, "commissions"),
    ("6100", "Payroll taxes", K.EXPENSE, "payroll_taxes"),
    ("6200", "Operating expenses", K.EXPENSE, "operating_expense"),
    ("6500", "Bank fees", K.EXPENSE, "bank_fees"),
    ("6600", "Bad debt", K.EXPENSE, "bad_debt"),
    ("6900", "Realised exchange losses", K.EXPENSE, "exchange_loss"),
]
