"""Runs jobs on YARN, through one JVM that stays for all of them."""
