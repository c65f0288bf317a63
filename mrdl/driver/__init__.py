"""What decides a run: the loop of rounds, and the jobs of every public call."""
