"""Card and direct-debit payments through a processor: our intent first, then the call, then what it answered."""
