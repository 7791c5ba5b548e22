"""Other systems that do the same work, installed into environments of their own when asked for."""
