"""The driver's side of the JVM that submits jobs, where YARN is not there."""
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from mrdl.runners.hadoop import gateway
from mrdl.runners.hadoop.gateway import Gateway


def test_an_answer_that_does_not_come_is_said_to_be_waited_for(tmp_path, monkeypatch):
    told, heard = [], threading.Event()
    asked = Gateway(str(tmp_path), lambda text, seconds: (told.append(text), heard.set()))
    asked.socket, theirs = socket.socketpair()
    asked.replies, asked.process = asked.socket.makefile("rb"), subprocess.Popen(["true"])
    monkeypatch.setattr(gateway, "SILENT", 0.0)

    def serve():
        with theirs, theirs.makefile("rb") as questions:
            assert json.loads(next(questions))["do"] == "version"
            heard.wait()
            theirs.sendall(b'{"value": "3"}\n')
            time.sleep(0.1)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with closing(asked):
        asked.ready()
        thread.join()
    assert len(told) == 1 and told[0].startswith("YARN does not answer: is its ResourceManager running?")


GONE = """
import sys
from mrdl.runners.hadoop.gateway import Gateway
asked = Gateway(sys.argv[1])
for question in (lambda: asked.kill_tagged("x"), lambda: asked.submit({}, ["-input", "/x", "-output", "/y", "-mapper", "cat"])):
    try:
        question()
    except OSError as error:
        print(error)
asked.close()
"""


@pytest.mark.hadoop
def test_a_resource_manager_that_is_away_is_tried_for_as_long_as_the_settings_say(tmp_path):
    """Each try is not the many tries that IPC would make of it, here without an end."""
    for name, settings in {"core-site": {"ipc.client.connect.max.retries": 1_000_000, "fs.defaultFS": "hdfs://127.0.0.1:8020"},
                           "yarn-site": {"yarn.resourcemanager.address": "127.0.0.1:1",
                                         "yarn.resourcemanager.connect.max-wait.ms": 1000,
                                         "yarn.resourcemanager.connect.retry-interval.ms": 500},
                           "mapred-site": {"mapreduce.framework.name": "yarn"}}.items():
        (tmp_path / f"{name}.xml").write_text("<configuration>" + "".join(
            f"<property><name>{key}</name><value>{value}</value></property>" for key, value in settings.items())
            + "</configuration>")
    told = subprocess.run([sys.executable, "-c", GONE, tmp_path], check=True, capture_output=True, text=True, timeout=120,
                          cwd=Path(gateway.__file__).parent.parent, env={**os.environ, "HADOOP_CONF_DIR": str(tmp_path)}).stdout
    assert [line.count("Connection refused") > 0 for line in told.splitlines()] == [True, True], told
