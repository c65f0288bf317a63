"""HDFS without a JVM."""
