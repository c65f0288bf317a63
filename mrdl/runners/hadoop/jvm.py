"""The gateway's process: a JVM that submits jobs and answers the driver's questions."""
import json
import os
import re
import shlex
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from mrdl.runners.hadoop import jars

LOG_WAIT = 15.0                 # seconds until `yarn logs` finds the logs of a finished job
TAIL = 8192                     # bytes to read from the end of a log


class GatewayError(OSError):
    """Hadoop could not answer; the message is Hadoop's."""


def serve(descriptor: int) -> None:
    """Answers questions until the driver is gone, then kills the driver's jobs."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):      # they may reach all processes of a service;
        signal.signal(number, signal.SIG_IGN)                          # this one must outlive the driver, to kill its jobs
    with socket.socket(fileno=descriptor) as link, link.makefile("rb") as questions:
        jobs = None
        for line in questions:
            question = json.loads(line)
            try:
                jobs = jobs or _Jobs()
                answer = {"value": getattr(jobs, question.pop("do"))(**question)}
            except Exception as error:  # noqa: BLE001 - reported to the driver
                answer = {"error": _told(error)}
            try:
                link.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                break
        if jobs:
            jobs.kill_all()


def _told(error: Exception) -> str:
    """A Java exception's message in one line; of nested exceptions, only the class of the innermost is named."""
    text = str(error).strip() or type(error).__name__
    classes, message = re.match(r"((?:[\w.$]+(?:Exception|Error): )*)(.*)", text).groups()
    return re.sub(r"^.*[.$](?=\w+: $)", "", classes) + message


class _Jobs:
    def __init__(self):
        try:
            import jpype
        except ImportError:
            raise GatewayError("mrdl submits jobs through jpype, which is not installed: pip install jpype1") from None
        flags = [flag for name in ("HADOOP_OPTS", "HADOOP_CLIENT_OPTS")
                 for flag in shlex.split(os.environ.get(name, "")) if flag.startswith("-")]
        try:
            jpype.startJVM(*flags, classpath=jars.class_path(), convertStrings=True)
        except jpype.JVMNotFoundException:
            raise GatewayError("no Java: install a JDK or JRE, and set JAVA_HOME") from None
        self.java = jpype.JClass
        self.running: dict[str, Any] = {}       # id -> its RunningJob
        self.seen: dict[str, int] = {}          # id -> number of events reported so far
        self.staying: set[str] = set()          # ids of jobs that outlive the driver
        self.StreamJob = self.java("org.apache.hadoop.streaming.StreamJob")

    def version(self) -> str:
        return str(self.java("org.apache.hadoop.util.VersionInfo").getVersion())

    def _conf(self):
        """The configuration for questions; jobs keep their own settings. Hadoop tries to reach the ResourceManager for
        yarn.resourcemanager.connect.max-wait.ms, but by default each such try is ten retries or more, so the wait would
        be ten times longer."""
        conf = self.java("org.apache.hadoop.mapred.JobConf")()
        conf.setInt("ipc.client.connect.max.retries", 1)
        return conf

    def _client(self):
        return self.java("org.apache.hadoop.mapred.JobClient")(self._conf())

    def submit(self, settings: dict[str, str], streaming: list[str],
               stays: bool) -> tuple[str, list[str]]:
        client = self._client()
        client.getClusterStatus()       # fails early; with the job's own settings it would take longer
        conf = self.StreamJob.createJob(streaming)
        conf.setJarByClass(self.StreamJob.class_)
        for key, value in settings.items():
            conf.set(key, value)
        job = self.java("org.apache.hadoop.mapred.JobClient")(conf).submitJob(conf)
        key = str(job.getID())
        self.running[key], self.seen[key] = client.getJob(job.getID()), 0
        if stays:
            self.staying.add(key)
        return key, self._inputs(job, conf)

    def attach(self, job: str) -> str | None:
        found = self._client().getJob(self.java("org.apache.hadoop.mapred.JobID").forName(job))
        if found is None:
            return None
        self.running[job], self.seen[job] = found, 0
        self.staying.add(job)
        return self._state(found.getJobStatus())

    def _state(self, status) -> str:
        return str(self.java("org.apache.hadoop.mapred.JobStatus").getJobRunState(
            status.getRunState()))

    def room(self, settings: dict[str, str]) -> int:
        conf = self._conf()
        for key, value in settings.items():
            conf.set(key, value)
        memory = max(0, conf.getInt("mapreduce.map.memory.mb", 0)) or 1024     # YARN's default
        cores = conf.getInt("mapreduce.map.cpu.vcores", 1)
        state = self.java("org.apache.hadoop.yarn.api.records.NodeState").RUNNING
        client = self._yarn()
        nodes = [node.getCapability() for node in client.getNodeReports(state)]
        client.stop()
        return sum(min(int(n.getMemorySize()) // memory, int(n.getVirtualCores()) // cores) for n in nodes)

    def _inputs(self, job, conf) -> list[str]:
        """The input of each map. Hadoop numbers maps by the size of their splits, so this reads the split file in the
        job's folder."""
        Path, Text = self.java("org.apache.hadoop.fs.Path"), self.java("org.apache.hadoop.io.Text")
        folder = Path(job.getJobFile()).getParent()
        fs = folder.getFileSystem(conf)
        splits = self.java("org.apache.hadoop.mapreduce.split.SplitMetaInfoReader").readSplitMetaInfo(
            job.getID(), fs, conf, folder)
        found = []
        for split in splits:
            with fs.open(Path(split.getSplitIndex().getSplitLocation())) as file:
                file.seek(split.getStartOffset())
                Text.readString(file)           # skips the name of the split's class
                found.append(Text.readString(file))
        return found

    def poll(self, job: str) -> dict[str, Any]:
        """The state (RUNNING, SUCCEEDED, FAILED, KILLED, PREP), the progress of maps and reduces from
        0 to 1, and task events: (attempt id, is it a map, SUCCEEDED | FAILED | KILLED | TIPFAILED | OBSOLETE)."""
        running = self.running[job]
        status = running.getJobStatus()
        state = self._state(status)
        events = []
        while batch := running.getTaskCompletionEvents(self.seen[job]):
            self.seen[job] += len(batch)
            events += [(str(e.getTaskAttemptId()), bool(e.isMapTask()), str(e.getTaskStatus()))
                       for e in batch]
        return {"state": state, "map": float(status.getMapProgress()),
                "reduce": float(status.getReduceProgress()), "events": events,
                "failure": str(running.getFailureInfo() or "") if state == "FAILED" else ""}

    def report(self, job: str) -> dict[str, Any]:
        running, client = self.running.pop(job), self._client()
        counters = {str(c.getName()): int(c.getValue())
                    for group in running.getCounters() or () for c in group}
        times = {kind: [(r.getStartTime() / 1000, r.getFinishTime() / 1000) for r in reports]
                 for kind, reports in (("map", client.getMapTaskReports(running.getID())),
                                       ("reduce", client.getReduceTaskReports(running.getID())))}
        return {"counters": counters, "times": times, "started": running.getJobStatus().getStartTime() / 1000}

    def diagnostics(self, job: str, attempt: str) -> str:
        found = self.running[job].getTaskDiagnostics(
            self.java("org.apache.hadoop.mapred.TaskAttemptID").forName(attempt))
        return "\n".join(map(str, found or ()))

    def application(self, job: str) -> dict[str, Any]:
        client = self._yarn()
        try:
            found = client.getApplicationReport(self.java("org.apache.hadoop.yarn.api.records.ApplicationId").fromString(
                job.replace("job_", "application_")))
        finally:
            client.stop()
        used = found.getApplicationResourceUsageReport()
        return {"id": str(found.getApplicationId()), "state": str(found.getYarnApplicationState()),
                "queue": str(found.getQueue()), "containers": int(used.getNumUsedContainers()),
                "url": str(found.getTrackingUrl()), "diagnostics": str(found.getDiagnostics() or "")}

    def stderr(self, job: str, attempt: str, patience: float) -> str:
        mapreduce = "org.apache.hadoop.mapreduce."
        cluster = self.java(mapreduce + "Cluster")(self._conf())
        log = cluster.getLogParams(self.java(mapreduce + "JobID").forName(job),
                                   self.java(mapreduce + "TaskAttemptID").forName(attempt))
        end = time.monotonic() + patience
        while not (text := self._logs(str(log.getApplicationId()), str(log.getContainerId()),
                                      str(log.getOwner()))) and time.monotonic() < end:
            time.sleep(0.5)     # NodeManagers upload logs only after the application has ended
        return text

    def _logs(self, application: str, container: str, owner: str) -> str:
        """What `yarn logs` prints of a container's stderr; "" if it finds none."""
        system, kept = self.java("java.lang.System"), self.java("java.io.ByteArrayOutputStream")()
        before = system.out
        system.setOut(self.java("java.io.PrintStream")(kept))
        try:
            conf = self.java("org.apache.hadoop.yarn.conf.YarnConfiguration")(self._conf())
            self.java("org.apache.hadoop.yarn.webapp.util.WebServiceClient").initialize(conf)
            cli = self.java("org.apache.hadoop.yarn.client.cli.LogsCLI")()
            cli.setConf(conf)
            cli.run(["-applicationId", application, "-containerId", container, "-appOwner", owner,
                     "-log_files", "stderr", "-size", str(-TAIL)])
        finally:
            system.setOut(before)
        text = bytes(kept.toByteArray()).decode(errors="replace")
        return text.partition("LogContents:\n")[2].partition("\nEnd of LogType:stderr")[0]

    def kill(self, job: str) -> None:
        self.running[job].killJob()

    def _yarn(self):
        client = self.java("org.apache.hadoop.yarn.client.api.YarnClient").createYarnClient()
        client.init(self.java("org.apache.hadoop.yarn.conf.YarnConfiguration")(self._conf()))
        client.start()
        return client

    def kill_tagged(self, tag: str, spared: str | None) -> list[str]:
        api = "org.apache.hadoop.yarn.api."
        client = self._yarn()
        states = self.java(api + "records.YarnApplicationState")
        live = self.java("java.util.EnumSet").range(states.NEW, states.RUNNING)
        request = self.java(api + "protocolrecords.GetApplicationsRequest").newInstance()
        request.setApplicationStates(live)
        request.setApplicationTags(self.java("java.util.HashSet")([tag]))
        killed = []
        for app in client.getApplications(request):
            if spared and str(app.getApplicationId()) == spared.replace("job_", "application_"):
                continue
            client.killApplication(app.getApplicationId())
            killed.append(str(app.getApplicationId()))
        client.stop()
        return killed

    def kill_all(self) -> None:
        for job in set(self.running) - self.staying:
            with suppress(Exception):
                self.kill(job)
