"""From the first talk to the signed deal: sales people, stages, opportunities and every change they went through."""
