"""The design system: tables, forms, charts, page shell. Plain specs in, HTML out; knows no domain."""
