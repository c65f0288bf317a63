"""Jobs on YARN, through one resident JVM."""
