"""E-invoices: EN 16931 in CII (Factur-X, XRechnung) and UBL (Peppol BIS 3), written from one model and read into it."""
