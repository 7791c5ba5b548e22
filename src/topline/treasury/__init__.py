"""Is there enough money: planned outflows, the cash forecast, whether each payroll is covered."""
