"""Money that customers owe and pay: payments, allocations, refunds, write-offs, and the figures about them."""
