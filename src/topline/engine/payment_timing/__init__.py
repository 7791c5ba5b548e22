"""When each open invoice will be paid, as a distribution over days, learned from what a company knew and when it knew it."""
