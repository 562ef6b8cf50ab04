"""A network of the test's own: the program runs again in new user, network and mount namespaces, where it is root, the
loopback device is all there is, and /etc/resolv.conf is a file of its own."""
import os
import subprocess
import sys
import tempfile


def skip(why):
    print("SKIP: %s" % why)
    sys.exit(77)


def enter():
    """Comes back in the namespaces."""
    if os.environ.get("RINGER_TEST_NETNS") != "1":
        flags = "-nm" if os.geteuid() == 0 else "-Urnm"
        if subprocess.run(["unshare", flags, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            skip("this host makes no network namespaces")
        os.environ["RINGER_TEST_NETNS"] = "1"
        os.execvp("unshare", ["unshare", flags, sys.executable] + sys.argv)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write("nameserver 127.0.0.1\n")
    os.chmod(f.name, 0o644)
    subprocess.run(["mount", "--bind", f.name, os.path.realpath("/etc/resolv.conf")], check=True)
    os.unlink(f.name)
