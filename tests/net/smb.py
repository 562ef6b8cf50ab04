#!/usr/bin/env python3
"""smb=DIR with hostile names, of the folder and in it: what a client of the real smbd gets, through Ringer's sockets.

    smb.py RINGER

No name gives the server another setting, or a guest another folder. (Status 77, a skip, without smbd and smbclient.)
"""
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import GuestError, die_with_parent, main  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
SECRET = b"what nobody shares"
# Of folders; SECRET in a name is the path of another one.
NAMES = [b"plain", b"with space", b" leading", b"trailing ", b'quo"te', b'"quoted"', b"apo's", b"comma,name", b"two,,commas", b"new\nline",
         b"x\nread only = no\nguest account = root", b"x\n[secret]\npath = SECRET\nguest ok = yes", b"x\ninclude = SECRET/conf",
         b"%H", b"%S%u", b"100%", b"%%", b"semi;colon", b"; first", b"#hash", b"back\\", b"mid\\dle", b"tab\t", b"cr\r",
         "Größe".encode(), b"[section]", b"a=b", b"$(touch SECRET/ran)", b"`touch SECRET/ran`", b"-dash", b"..."]
# Of files, beside one that every client can read.
FILES = [b"new\nline", b'quo"te', b"%S", b"co:lon", b"back\\slash", b"\xff\xfe", b"trailing ", b"trailing.", b"..two", b"a" * 255, b"CON", b"~",
         b"*", b"?"]


class Served:
    """A machine that stands, and serves a folder; port: where a client finds that."""

    def __init__(self, folder, temporary):
        option = b"user,id=n,smb=" + folder.replace(b",", b",,")
        self.process = subprocess.Popen([RINGER, "-S", "-nodefaults", "-display", "none", "-netdev", option, "-device",
                                         "e1000,netdev=n"], env=dict(os.environ, TMPDIR=temporary), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        end = time.monotonic() + 60
        self.config = None
        while not self.config and self.process.poll() is None and time.monotonic() < end:
            # Each service has a socket, numbered: ports 139 and 445.
            found = glob.glob(os.path.join(temporary, "ringer-net-*", "1"))
            self.config = os.path.join(os.path.dirname(found[0]), "smb.conf") if found else None
            time.sleep(0.02)
        if not self.config:
            self.process.kill()
            raise GuestError("%r is not served: %r" % (folder, self.process.communicate()[1]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(os.path.join(os.path.dirname(self.config), "1"))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    @staticmethod
    def copy(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        try:
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def client(self, words, *options):
        """(status, what it says)"""
        run = subprocess.run(["smbclient", "-s", "/dev/null", "-N", "-p", str(self.port)] + list(options) +
                             (["//127.0.0.1/qemu", "-c", words] if words else []), capture_output=True, timeout=60)
        return run.returncode, run.stdout + run.stderr

    def close(self):
        # Its thread is to be out of accept() before the next one's listener has the same descriptor.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        self.process.terminate()
        self.process.communicate(timeout=30)
        folder = os.path.dirname(self.config)
        end = time.monotonic() + 30
        while os.path.exists(folder):
            if time.monotonic() > end:
                raise GuestError("left behind: %s" % os.listdir(folder))
            time.sleep(0.02)


def setting(config, section, name, value):
    got = subprocess.run(["testparm", "-s", "--section-name=" + section, "--parameter-name=" + name, config], capture_output=True,
                         text=True, errors="replace").stdout.strip()
    if got != value:
        raise GuestError("%s is '%s', not '%s'" % (name, got, value))


def judge(what, folder, temporary, secret):
    with open(os.path.join(folder, b"who"), "wb") as f:
        f.write(b"this one: " + what)
    served = Served(folder, temporary)
    sections = re.findall(r"^\[(.*)\]$", subprocess.run(["testparm", "-s", served.config], capture_output=True, text=True,
                                                        errors="replace").stdout, re.M)
    if sections != ["global", "qemu"]:
        raise GuestError("%r: smb.conf has the sections %s" % (what, sections))
    setting(served.config, "qemu", "read only", "Yes")
    setting(served.config, "qemu", "guest ok", "Yes")
    setting(served.config, "global", "guest account", "nobody")
    got = os.path.join(os.path.dirname(secret), "got")
    status, said = served.client("get who " + got)
    if status != 0 or not os.path.exists(got) or open(got, "rb").read() != b"this one: " + what:
        raise GuestError("%r: a client gets %r" % (what, said))
    os.unlink(got)
    status, said = served.client("put /etc/hostname written")
    if b"NT_STATUS_ACCESS_DENIED" not in said or os.path.exists(os.path.join(folder, b"written")):
        raise GuestError("%r: a client may write: %r" % (what, said))
    if os.listdir(secret) != ["file"]:
        raise GuestError("%r: there is now %s" % (what, os.listdir(secret)))
    return served


def refused(what, words, arguments, environment=None):
    run = subprocess.run([RINGER, "-S", "-nodefaults", "-display", "none", "-netdev"] + arguments, stdin=subprocess.DEVNULL,
                         env=dict(os.environ, **(environment or {})), capture_output=True, timeout=60)
    if run.returncode != 1 or words not in run.stderr or not run.stderr.startswith(b"ringer: ") or \
            run.stderr.count(b"\n") != 1 + os.fsencode(arguments[0]).count(b"\n") + \
            (environment or {}).get("TMPDIR", "").count("\n"):
        raise GuestError("%s: status %d, %r" % (what, run.returncode, run.stderr))


def test():
    if not shutil.which("smbclient") or not shutil.which("testparm") or not (shutil.which("smbd") or os.path.exists("/usr/sbin/smbd")):
        print("SKIP: needs Samba (packages samba, smbclient)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as top:
        temporary, secret, home = (os.path.join(top, name) for name in ("tmp", "secret", "home"))
        for folder in (temporary, secret, home):
            os.mkdir(folder)
        with open(os.path.join(secret, "file"), "wb") as f:
            f.write(SECRET)
        for number, name in enumerate(NAMES):
            what = name
            # A slash in a name makes folders, as it does for the user who names them.
            folder = os.path.join(os.fsencode(home), b"%d" % number, name.replace(b"SECRET", os.fsencode(secret)))
            os.makedirs(folder)
            judge(what, folder, temporary, secret).close()
        print("OK: %d names of folders" % len(NAMES))

        folder = os.path.join(os.fsencode(home), b"files")
        os.mkdir(folder)
        for name in FILES:
            with open(os.path.join(folder, name), "wb") as f:
                f.write(name)
        os.symlink(secret, os.path.join(folder, b"out"))
        os.symlink(os.path.join(secret, "file"), os.path.join(folder, b"outfile"))
        os.symlink("../../secret/file", os.path.join(folder, b"up"))
        os.symlink("nowhere", os.path.join(folder, b"dangling"))
        served = judge(b"files", folder, temporary, secret)
        for words in ("get outfile", "get up", "get out\\file", "get ..\\..\\secret\\file", "get ..\\files\\who"):
            status, said = served.client("%s %s/got" % (words, top))
            if os.path.exists(os.path.join(top, "got")) or b"NT_STATUS_" not in said:
                raise GuestError("%s gets out of the folder: %r" % (words, said))
        listed = served.client("ls")[1]
        for word in (b" who ", b" ~ ", b" ..two ", b" %S "):
            if word not in listed:
                raise GuestError("%r is not in the list: %r" % (word, listed))
        served.close()
        print("OK: hostile files in it")

        link = os.path.join(os.fsencode(home), b"link")
        os.symlink(folder, link)
        judge(b"link", link, temporary, secret).close()
        print("OK: a symbolic link to a folder")

        refused("nothing there", b"is not a folder", [os.path.join("user,id=n,smb=" + home, "none")])
        refused("a name with an end of line, nothing there", b"is not a folder", ["user,id=n,smb=%s/none\n[x]" % home])
        refused("a file", b"is not a folder", ["user,id=n,smb=%s/file" % secret])
        refused("a dangling link", b"is not a folder", ["user,id=n,smb=%s/files/dangling" % home])
        latin = os.path.join(os.fsencode(home), b"latin \xe4\xff")
        os.mkdir(latin)
        os.symlink(latin, link + b"2")
        for name in (latin, link + b"2"):
            refused("not UTF-8", b"is not UTF-8", [b"user,id=n,smb=" + name], {"TMPDIR": temporary})
            if os.listdir(temporary):
                raise GuestError("left behind: %s" % os.listdir(temporary))
        refused("no name", b"is not a folder", ["user,id=n,smb="])
        # Where the server's own files are is written into its settings, and for the shell.
        for name in ("a%Hb", "x\n[secret]", "back\\slash", 'quo"te', "-;", "$(touch ran)"):
            strange = os.path.join(top, name)
            os.mkdir(strange)
            refused("TMPDIR " + name, b"TMPDIR", ["user,id=n,smb=" + secret], {"TMPDIR": strange})
            if os.listdir(strange):
                raise GuestError("left behind in %r: %s" % (strange, os.listdir(strange)))
        spaced = os.path.join(top, "a b")
        os.mkdir(spaced)
        judge(b"spaced", folder, spaced, secret).close()
        print("OK: what is no folder, and temporary folders")


if __name__ == "__main__":
    main(test)
