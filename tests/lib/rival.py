"""The QEMU to be compared with."""
import os
import subprocess

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "rival.sh")


def newest():
    """The newest one's program (tests/tools/rival.sh)."""
    return subprocess.run(["sh", SCRIPT], capture_output=True, text=True, check=True).stdout.strip()
