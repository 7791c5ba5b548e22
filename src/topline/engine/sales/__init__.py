"""Sales figures from columns: what a deal was on a day, funnels, statistics, the bridge between two days."""
