"""What to do about one large debt: every option weighed side by side, the chosen one as a case with steps, its outcome kept."""
