from django.urls import path

from topline.receivables import matches, pages, statement_pages, write_off_pages

app_name = "receivables"
urlpatterns = [
    path("payments/", pages.payments, name="payments"),
    path("payments/match/", matches.queue, name="matches"),
    path("payments/match/run/", matches.run, name="run_match"),
    path("payments/match/<int:proposal_id>/confirm/", matches.confirm, name="confirm_match"),
    path("payments/match/taken-back/<int:line_id>/", matches.take_back, name="take_back"),
    path("payments/match/<int:proposal_id>/undo/", matches.undo, name="undo_match"),
    path("payments/match/<int:proposal_id>/reject/", matches.reject, name="reject_match"),
    path("payments/new/", pages.new_payment, name="new_payment"),
    path("payments/<int:payment_id>/", pages.payment, name="payment"),
    path("payments/<int:payment_id>/apply/", pages.apply, name="apply"),
    path("payments/<int:payment_id>/return/", pages.return_payment, name="return"),
    path("payments/<int:payment_id>/refund/", pages.refund, name="refund"),
    path("discount-offers/<int:offer_id>/take/", pages.take_offer, name="take_offer"),
    path("allocations/<int:allocation_id>/unapply/", pages.unapply, name="unapply"),
    path("invoices/<int:invoice_id>/settlement/", pages.settlement, name="settlement"),
    path("invoices/<int:invoice_id>/write-off/", pages.write_off, name="write_off"),
    path("invoices/<int:invoice_id>/propose-write-off/", write_off_pages.propose, name="propose_write_off"),
    path("write-offs/", write_off_pages.waiting, name="write_offs"),
    path("write-offs/<int:proposal_id>/approve/", write_off_pages.approve, name="approve_write_off"),
    path("write-offs/<int:proposal_id>/refuse/", write_off_pages.refuse, name="refuse_write_off"),
    path("credit-notes/<int:invoice_id>/apply/", pages.apply_credit_note, name="apply_credit_note"),
    path("aging/", pages.aging, name="aging"),
    path("customers/<int:customer_id>/statement/", statement_pages.statement, name="statement"),
    path("statements/", statement_pages.accounts, name="statements"),
    path("statements/send/", statement_pages.send, name="send_statements"),
]
