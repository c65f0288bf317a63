"""Access to HDFS without a JVM."""
