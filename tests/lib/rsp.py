"""A client of gdb's remote serial protocol, as small as it can be: for tests of packets that no debugger sends."""
import socket
import time


class RspError(Exception):
    pass


def frame(body):
    """A packet; what must be escaped is escaped."""
    if isinstance(body, str):
        body = body.encode("latin-1")
    out = bytearray()
    for byte in body:
        if byte in b"$#}*":
            out += b"}" + bytes([byte ^ 0x20])
        else:
            out.append(byte)
    return b"$%s#%02x" % (bytes(out), sum(out) & 255)


class Rsp:
    def __init__(self, address, timeout=20, ack=False):
        """address: a Unix socket's path, or (host, port). ack: stay with acknowledgements."""
        self.timeout = timeout
        self.ack = True
        self.pending = b""
        self.socket = self._connect(address)
        if not ack:
            self.ask("QStartNoAckMode", "OK")
            self.socket.sendall(b"+")
            self.ack = False

    def _connect(self, address):
        end = time.monotonic() + self.timeout
        while True:
            sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
            try:
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                if time.monotonic() > end:
                    raise RspError("no connection to %s: %s" % (address, error)) from error
                time.sleep(0.05)

    def _byte(self, end):
        while not self.pending:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.pending = self.socket.recv(65536)
            except socket.timeout as error:
                raise RspError("no answer") from error
            if not self.pending:
                raise RspError("closed")
        byte, self.pending = self.pending[:1], self.pending[1:]
        return byte

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, body):
        self.raw(frame(body))

    def receive(self, timeout=None):
        """The next packet's body; what is between packets is skipped."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while self._byte(end) != b"$":
            pass
        body, total = bytearray(), 0
        while True:
            byte = self._byte(end)
            if byte == b"#":
                break
            total += byte[0]
            if byte == b"}":
                byte = self._byte(end)
                total += byte[0]
                byte = bytes([byte[0] ^ 0x20])
            body += byte
        told = self._byte(end) + self._byte(end)
        if int(told, 16) != total & 255:
            raise RspError("bad checksum of %r" % bytes(body))
        if self.ack:
            self.raw(b"+")
        return body.decode("latin-1")

    def is_silent(self, seconds):
        """Nothing comes."""
        try:
            body = self.receive(seconds)
        except RspError as error:
            return str(error) == "no answer"
        raise RspError("unasked: " + body)

    def ask(self, body, want=None):
        self.send(body)
        got = self.receive()
        if want is not None and got != want:
            raise RspError("%r: %r, not %r" % (body, got, want))
        return got

    def close(self):
        self.socket.close()

    # --- What a debugger does ---

    def interrupt(self):
        self.raw(b"\x03")
        return self.receive()

    def read(self, address, length):
        got = self.ask("m%x,%x" % (address, length))
        if got.startswith("E"):
            raise RspError("m%x: %s" % (address, got))
        return bytes.fromhex(got)

    def read32(self, address):
        return int.from_bytes(self.read(address, 4), "little")

    def write(self, address, data):
        self.ask("M%x,%x:%s" % (address, len(data), data.hex()), "OK")

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask("p%x" % number)), "little")

    def set_register(self, number, value, size=4):
        self.ask("P%x=%s" % (number, value.to_bytes(size, "little").hex()), "OK")

    def go(self):
        self.send("vCont;c")

    def go_to_stop(self):
        return self.ask("vCont;c")

    def step(self):
        return self.ask("vCont;s:1")

    def description(self, annex="target.xml"):
        text = ""
        while True:
            piece = self.ask("qXfer:features:read:%s:%x,100" % (annex, len(text)))
            text += piece[1:]
            if piece[0] == "l":
                return text
            if piece[0] != "m":
                raise RspError("qXfer: " + piece)
