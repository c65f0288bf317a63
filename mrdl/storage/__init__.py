"""One interface to files on local disks and on HDFS."""
