"""Debian's gdb on a pipe: a command in, what it says out. And symbols of a kernel that has none, out of its kallsyms."""
import os
import signal
import subprocess
import time

from guest import die_with_parent


class GdbError(Exception):
    pass


class Gdb:
    def __init__(self, *arguments, timeout=120):
        self.timeout = timeout
        self.output = b""
        self.process = subprocess.Popen(["gdb", "-nx", "-q", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.count = 0
        for line in ("set pagination off", "set confirm off", "set width 0", "set tcp connect-timeout 20"):
            self.command(line)

    def start(self, line):
        """Gives a command, and does not wait for its end: finish()."""
        self.count += 1
        self.process.stdin.write(("%s\necho __end%d__\\n\n" % (line, self.count)).encode())
        self.process.stdin.flush()

    def finish(self, timeout=None):
        """What the command said that was started last."""
        end = time.monotonic() + (timeout or self.timeout)
        mark = b"__end%d__\n" % self.count
        while mark not in self.output:
            part = self.process.stdout.read()
            if part:
                self.output += part
            elif part == b"" or self.process.poll() is not None:
                raise GdbError("gdb has ended: " + self.output.decode(errors="replace"))
            elif time.monotonic() > end:
                raise GdbError("gdb does not answer: " + self.output.decode(errors="replace"))
            else:
                time.sleep(0.005)
        said, self.output = self.output.split(mark, 1)
        return said.decode(errors="replace").replace("(gdb) ", "").replace("\r", "")

    def command(self, line, timeout=None):
        self.start(line)
        return self.finish(timeout)

    def value(self, expression):
        said = self.command("print/d " + expression)
        try:
            return int(said.split("=")[1])
        except (IndexError, ValueError):
            raise GdbError("%s: %s" % (expression, said)) from None

    def interrupt(self):
        """As Ctrl-C at its terminal, in the midst of a command."""
        self.process.send_signal(signal.SIGINT)

    def close(self):
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()


# Where ftrace may put its call: before the prologue, which gdb then does not find. Without descriptions of frames (Debian's
# kernel has none) it needs that to go from one frame to the next.
FTRACE_NOP = bytes.fromhex("3e8d742600")


def symbols_of_kallsyms(kallsyms, folder, read):
    """An ELF file without contents whose symbols are the functions named there; its path. What the kernel has freed after
    its start, and lies behind its data, is left out. read(address, length): the kernel's code."""
    functions = sorted((int(words[0], 16), words[2]) for words in map(str.split, kallsyms.splitlines())
                       if len(words) == 3 and words[1] in "tTwW")
    end = next(value for value, name in functions if name == "_etext")
    functions = [(value, name) for value, name in functions if value < end]
    start = functions[0][0]
    code = read(start, end - start)
    path = os.path.join(folder, "kernel.elf")
    names = set()
    with open(path + ".s", "w", encoding="ascii") as out:
        out.write('.section .ktext,"ax",@nobits\nbase: .skip %d\n' % (end - start))
        for value, name in functions:
            name = name.replace(".", "_")
            if name in names:
                name += "__%x" % value
            names.add(name)
            value += len(FTRACE_NOP) if code.startswith(FTRACE_NOP, value - start) else 0
            out.write(".globl %s\n.set %s, base + %d\n.type %s,@function\n" % (name, name, value - start, name))
    subprocess.run(["as", "--32", "-o", path + ".o", path + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-e", "0", "--section-start=.ktext=%#x" % start, "-o", path, path + ".o"], check=True)
    return path
