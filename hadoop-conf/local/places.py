"""Where the cluster lies, and what it is made of."""
import os
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent
COMMAND = CONF / "cluster"
HOME = Path(os.environ.get("MRDL_HADOOP") or CONF.parent / "build" / "hadoop").resolve()
LIB = Path(os.environ.get("MRDL_HADOOP_LIB") or HOME / "lib").resolve()
ETC, RUN, LOGS, DATA = HOME / "etc", HOME / "run", HOME / "logs", HOME / "data"

APACHE = "org.apache.hadoop."
DAEMONS = {     # name: (class, heap in MB, node)
    "namenode": ("hdfs.server.namenode.NameNode", 160, None),
    "datanode1": ("hdfs.server.datanode.DataNode", 96, "node1"),
    "datanode2": ("hdfs.server.datanode.DataNode", 96, "node2"),
    "datanode3": ("hdfs.server.datanode.DataNode", 96, "node3"),
    "resourcemanager": ("yarn.server.resourcemanager.ResourceManager", 160, None),
    "nodemanager1": ("yarn.server.nodemanager.NodeManager", 128, "node1"),
    "nodemanager2": ("yarn.server.nodemanager.NodeManager", 128, "node2"),
    "historyserver": ("mapreduce.v2.hs.JobHistoryServer", 96, None),
}
NODES = ["node1", "node2", "node3"]


class Failed(Exception):
    """One line for the user, and the exit status: 2 where something must be changed first."""

    def __init__(self, line: str, status: int = 2):
        super().__init__(line)
        self.status = status
