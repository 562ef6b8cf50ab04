"""A browser without a screen: Chromium through ChromeDriver's protocol (W3C WebDriver)."""
import atexit
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

from guest import die_with_parent

TOOLS = ("chromium", "chromedriver")


class Browser:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       preexec_fn=die_with_parent, text=True)
        atexit.register(self.end)
        signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))  # meson's patience has ended
        port = None
        while port is None:
            line = self.driver.stdout.readline()
            if not line:
                raise RuntimeError("chromedriver has ended")
            found = re.search(r"successfully on port (\d+)", line)
            port = int(found.group(1)) if found else None
        self.base = "http://127.0.0.1:%d/session" % port
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1000,800",
                     "--user-data-dir=" + self.folder.name]
        answer = self.call("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}})
        self.base += "/" + answer["sessionId"]

    def call(self, path, body, method="POST"):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode() if body is not None else None,
                                         {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("/url", {"url": url})

    def run(self, script, *arguments):
        """What a function's body returns in the page."""
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def type(self, text):
        actions = [{"type": kind, "value": c} for c in text for kind in ("keyDown", "keyUp")]
        self.call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def point(self, x, y, click=False):
        """In the page."""
        actions = [{"type": "pointerMove", "duration": 0, "x": x, "y": y, "origin": "viewport"}]
        if click:
            actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.call("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def close(self):
        try:
            self.call("", None, "DELETE")
        except OSError:
            pass
        self.end()

    def end(self):
        """Also where a test fails: the driver's death does not end the browser. It is found by its folder's name."""
        self.driver.kill()
        self.driver.wait()
        self.driver.stdout.close()
        subprocess.run(["pkill", "-KILL", "-f", "user-data-dir=" + self.folder.name])
        shutil.rmtree(self.folder.name, ignore_errors=True)


class Pages:
    """A web server of the test's own for the files below a folder."""

    def __init__(self, folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=folder)

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def is_there():
    return all(shutil.which(tool) for tool in TOOLS) and os.path.isdir("/usr/share/novnc")
