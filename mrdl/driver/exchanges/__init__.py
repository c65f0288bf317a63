"""How a round gets to its workers and back: a job a round, one job for many, or jobs that others run."""
