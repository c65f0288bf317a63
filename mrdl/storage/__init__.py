"""Files on local disks and on HDFS behind one door."""
