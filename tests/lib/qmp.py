"""A QMP client, and what query-qmp-schema says of types."""
import json
import os
import socket
import subprocess
import time

from guest import die_with_parent
from monitor import connect


class QmpError(Exception):
    def __init__(self, error):
        super().__init__(error["desc"])
        self.kind = error["class"]


class Qmp:
    """One connection. Greets and negotiates unless it is told not to."""

    def __init__(self, path, timeout=60, negotiate=True):
        self.socket = connect(path, timeout)
        self.buffer = b""
        self.events = []
        self.greeting = self.receive()
        if negotiate:
            self.execute("qmp_capabilities")

    def receive(self):
        """The next message, whatever it is."""
        while b"\n" not in self.buffer:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError("the monitor has hung up")
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def answer(self):
        """The next message that is no event."""
        while True:
            message = self.receive()
            if "event" not in message:
                return message
            self.events.append(message)

    def send(self, data, fds=()):
        if fds:
            socket.send_fds(self.socket, [data], list(fds))
        else:
            self.socket.sendall(data)

    def raw(self, message, fds=()):
        self.send(json.dumps(message).encode() + b"\n", fds)
        return self.answer()

    def execute(self, command, fds=(), **arguments):
        """The value of a command; QmpError."""
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        answer = self.raw(message, fds)
        if "error" in answer:
            raise QmpError(answer["error"])
        return answer["return"]

    def human(self, line):
        return self.execute("human-monitor-command", **{"command-line": line}).replace("\r", "")

    def wait_event(self, name, timeout=20):
        """The first event of that name from now on, or among those that have come."""
        end = time.monotonic() + timeout
        while True:
            for i, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(i)
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no event " + name)
            self.socket.settimeout(left)
            try:
                message = self.receive()
            finally:
                self.socket.settimeout(60)
            assert "event" in message, message
            self.events.append(message)

    def close(self):
        self.socket.close()


class Machine:
    """A process with a QMP socket."""

    def __init__(self, command, folder, **popen):
        self.path = os.path.join(folder, "qmp")
        self.command = command + ["-qmp", "unix:%s,server=on,wait=off" % self.path]
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.DEVNULL)
        self.process = subprocess.Popen(self.command, preexec_fn=die_with_parent, **popen)
        self.qmp = Qmp(self.path)

    def end(self, timeout=20):
        """Asks it to end; its status."""
        try:
            self.qmp.execute("quit")
        except (EOFError, OSError):
            pass
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Schema:
    """The types of one program."""

    def __init__(self, entities):
        self.of = {entity["name"]: entity for entity in entities}

    def commands(self):
        return sorted(name for name, entity in self.of.items() if entity["meta-type"] == "command")

    def events(self):
        return sorted(name for name, entity in self.of.items() if entity["meta-type"] == "event")

    def members(self, name):
        """{member: (type, optional)} of an object type, without its variants."""
        return {m["name"]: (m["type"], "default" in m) for m in self.of[name]["members"]}

    def variants(self, name):
        """{value: object type} of an object type."""
        return {v["case"]: v["type"] for v in self.of[name].get("variants", [])}

    def wrong(self, name, value, path):
        """What of a value does not match a type: a list of sentences."""
        entity = self.of[name]
        kind = entity["meta-type"]
        if kind == "builtin":
            expected = {"string": str, "int": int, "number": (int, float), "boolean": bool, "null": type(None),
                        "object": dict, "array": list, "value": object}[entity["json-type"]]
            if not isinstance(value, expected) or (isinstance(value, bool) and entity["json-type"] in ("int", "number")):
                return ["%s: %r is no %s" % (path, value, entity["json-type"])]
            return []
        if kind == "enum":
            return [] if value in entity["values"] else ["%s: %r is none of the values" % (path, value)]
        if kind == "array":
            if not isinstance(value, list):
                return ["%s: %r is no array" % (path, value)]
            return [w for i, v in enumerate(value) for w in self.wrong(entity["element-type"], v, "%s[%d]" % (path, i))]
        if kind == "alternate":
            tries = [self.wrong(m["type"], value, path) for m in entity["members"]]
            return [] if any(not t for t in tries) else min(tries, key=len)
        if not isinstance(value, dict):
            return ["%s: %r is no object" % (path, value)]
        members = dict(self.members(name))
        tag = value.get(entity["tag"]) if "tag" in entity else None
        if tag in self.variants(name):
            members.update(self.members(self.variants(name)[tag]))
        wrong = ["%s: %s is missing" % (path, m) for m, (_, optional) in members.items() if not optional and m not in value]
        wrong += ["%s: %s is not declared" % (path, m) for m in value if m not in members]
        for m in value:
            if m in members:
                wrong += self.wrong(members[m][0], value[m], path + "." + m)
        return wrong
