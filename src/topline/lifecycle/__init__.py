"""Customer lifecycle: where each customer stands and how well, what cohorts keep, what customers are still worth, and who earns us money."""
