"""The driver: the loop of a run's rounds, and the jobs behind prepare, evaluate, predict and so on."""
