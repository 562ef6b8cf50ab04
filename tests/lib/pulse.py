"""A PulseAudio of a test's own, with a loudspeaker that nobody hears and whose clock is the host's: what is played is
recorded from its monitor."""
import os
import shutil
import subprocess
import time

from guest import GuestError, die_with_parent


def is_there():
    return bool(shutil.which("pulseaudio") and shutil.which("parec"))


class Pulse:
    def __init__(self, folder, rate):
        """folder: for its sockets and files, empty."""
        self.rate = rate
        self.socket = os.path.join(folder, "native")
        self.environment = dict(os.environ, HOME=folder, XDG_RUNTIME_DIR=folder, XDG_CONFIG_HOME=folder,
                                PULSE_RUNTIME_PATH=folder, PULSE_SERVER="unix:" + self.socket,
                                DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
        self.log = open(os.path.join(folder, "pulseaudio.log"), "wb")
        self.process = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disallow-exit",
             "-L", "module-native-protocol-unix auth-anonymous=1 socket=" + self.socket,
             "-L", "module-null-sink sink_name=nobody rate=%d channels=2 format=s16le" % rate],
            env=self.environment, stdout=self.log, stderr=self.log, preexec_fn=die_with_parent, start_new_session=True)
        end = time.monotonic() + 30
        while subprocess.run(["pactl", "info"], env=self.environment, capture_output=True).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log.name, errors="replace") as f:
                    raise GuestError("pulseaudio does not start: %s" % f.read())
            time.sleep(0.1)

    def record(self, path):
        """What is played from now on, 16 bits, one channel, into a file; ended by finish()."""
        with open(path, "wb") as f:
            return subprocess.Popen(["parec", "--device=nobody.monitor", "--format=s16le", "--channels=1", "--raw",
                                     "--rate=%d" % self.rate, "--latency-msec=100"], env=self.environment, stdout=f, preexec_fn=die_with_parent)

    @staticmethod
    def finish(recorder):
        recorder.kill()
        recorder.wait(30)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
