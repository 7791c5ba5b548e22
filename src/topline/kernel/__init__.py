"""The ground floor: money, clock, errors, the action door, audit record, outbox, series, bulk. Knows no domain."""
