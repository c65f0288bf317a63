"""Three ways to run a round: a job per round, one job for many rounds, or jobs that users run themselves."""
