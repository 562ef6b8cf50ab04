"""A VNC viewer of the tests' own: RFB 3.8, raw pictures, keys, pointer, and what QEMU has added."""
import socket
import struct
import subprocess
import time

RAW, NEW_SIZE, POINTER_TYPE, EXTENDED_KEY, AUDIO = 0, -223, -257, -258, -259
PLACE, SHAPE, X_SHAPE, ALPHA_SHAPE = -232, -239, -240, -314


class RfbError(Exception):
    pass


def des(password, challenge):
    """The challenge, encrypted with a password whose bytes have their bits the other way round."""
    key = bytes(int("{:08b}".format(byte)[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ede3", "-nopad", "-K", (key * 3).hex()], input=challenge, capture_output=True,
                          check=True).stdout


class Viewer:
    def __init__(self, where, password=None, shared=True, encodings=(RAW, NEW_SIZE), timeout=60):
        """where: a port of this host, or a path."""
        if isinstance(where, int):
            self.socket = socket.create_connection(("127.0.0.1", where), timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(where)
        self.told = []  # pseudo-encodings that the server has shown to know: (encoding, x)
        self.text = None  # of its clipboard
        self.shape = None  # of the guest's pointer: (hot x, hot y, width, height, rows of (red, green, blue, alpha), multiplied by it)
        self.shapes = 0
        self.pointer_at = None
        self.sound = bytearray()
        self.sound_news = []  # "begin", "end"
        if self.read(12) != b"RFB 003.008\n":
            raise RfbError("no RFB 3.8")
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self.read(self.read(1)[0])
        wanted = 1 if password is None else 2
        if wanted not in kinds:
            raise RfbError("security types %r" % (list(kinds),))
        self.socket.sendall(bytes([wanted]))
        if password is not None:
            self.socket.sendall(des(password, self.read(16)))
        if struct.unpack(">I", self.read(4))[0]:
            raise RfbError(self.read(struct.unpack(">I", self.read(4))[0]).decode())
        self.socket.sendall(bytes([shared]))
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()
        # 32 bits, little endian, 0x00RRGGBB.
        self.socket.sendall(struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.sendall(struct.pack(">BxH%di" % len(encodings), 2, len(encodings), *encodings))
        self.pixels = bytearray(self.width * self.height * 4)

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise RfbError("hung up")
            data += part
        return bytes(data)

    def request(self, incremental=True):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def rectangle(self):
        x, y, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
        if encoding == NEW_SIZE:
            self.width, self.height = width, height
            self.pixels = bytearray(width * height * 4)
        elif encoding in (SHAPE, X_SHAPE, ALPHA_SHAPE):
            self.shape = x, y, width, height, self.shape_rows(encoding, width, height)
            self.shapes += 1
        elif encoding == PLACE:
            self.pointer_at = x, y
        elif encoding != RAW:
            self.told.append((encoding, x))
        else:
            for row in range(y, y + height):
                at = (row * self.width + x) * 4
                self.pixels[at:at + width * 4] = self.read(width * 4)
        return encoding

    def shape_rows(self, encoding, width, height):
        across = (width + 7) // 8

        def bits():
            rows = self.read(across * height)
            return [[rows[y * across + x // 8] >> 7 - x % 8 & 1 for x in range(width)] for y in range(height)]
        if encoding == ALPHA_SHAPE:
            if struct.unpack(">i", self.read(4))[0] != RAW:
                raise RfbError("a shape that is not raw")
            pixels = self.read(4 * width * height)
            return [[tuple(pixels[4 * (y * width + x):][:4]) for x in range(width)] for y in range(height)]
        if not width or not height:
            return []
        if encoding == X_SHAPE:
            colours = [self.read(3), self.read(3)]
            which = bits()
            colour = [[tuple(colours[1 - bit]) for bit in row] for row in which]
        else:
            pixels = self.read(4 * width * height)
            colour = [[tuple(pixels[4 * (y * width + x):][2::-1]) for x in range(width)] for y in range(height)]
        return [[c + (255,) if bit else (0, 0, 0, 0) for c, bit in zip(*rows)] for rows in zip(colour, bits())]

    def with_shape(self, place):
        """The picture with the shape at a place, as a viewer shows it."""
        width, height, rows = self.picture()
        rows = [bytearray(row) for row in rows]
        hot_x, hot_y, across, down, shape = self.shape
        for y in range(down):
            for x in range(across):
                at_x, at_y = place[0] - hot_x + x, place[1] - hot_y + y
                if 0 <= at_x < width and 0 <= at_y < height:
                    *colour, alpha = shape[y][x]
                    below = rows[at_y][3 * at_x:3 * at_x + 3]
                    rows[at_y][3 * at_x:3 * at_x + 3] = bytes(
                        min(255, c + (b * (255 - alpha) + 127) // 255) for c, b in zip(colour, below))
        return width, height, [bytes(row) for row in rows]

    def update(self):
        """Reads one message; true: it was a picture's."""
        kind = self.read(1)[0]
        if kind == 0:
            _, count = struct.unpack(">BH", self.read(3))
            kinds = [self.rectangle() for _ in range(count)]
            if NEW_SIZE in kinds:
                self.request(False)
            return RAW in kinds
        if kind == 3:
            self.text = self.read(struct.unpack(">3xI", self.read(7))[0]).decode("latin-1")
        elif kind == 255:
            kind, operation = struct.unpack(">BH", self.read(3))
            if kind != 1 or operation > 2:
                raise RfbError("QEMU's message %d, %d" % (kind, operation))
            if operation == 2:
                self.sound += self.read(struct.unpack(">I", self.read(4))[0])
            else:
                self.sound_news.append(("end", "begin")[operation])
        elif kind != 2:
            raise RfbError("message %d" % kind)
        return False

    def picture(self):
        """(width, height, rows of RGB bytes), as desktop.ppm() has them."""
        rows = []
        for y in range(self.height):
            row = self.pixels[y * self.width * 4:(y + 1) * self.width * 4]
            rgb = bytearray(self.width * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
            rows.append(bytes(rgb))
        return self.width, self.height, rows

    def see(self, holds, timeout=60):
        """Looks until holds(picture); also when something else has come."""
        end = time.monotonic() + timeout
        self.request(False)
        self.socket.settimeout(0.3)
        while time.monotonic() < end:
            try:
                # A message begins, or it does not; once begun it comes whole.
                self.socket.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                if holds(self.picture()):
                    return True
                continue
            self.socket.settimeout(timeout)
            if self.update():
                if holds(self.picture()):
                    return True
                self.request()
            elif holds(self.picture()):
                return True
            self.socket.settimeout(0.3)
        return False

    def symbol(self, symbol, down):
        self.socket.sendall(struct.pack(">BBHI", 4, down, 0, symbol))

    def place(self, code, down, symbol=0):
        self.socket.sendall(struct.pack(">BBHII", 255, 0, down, symbol, code))

    def type(self, text):
        for c in text:
            for down in (1, 0):
                self.symbol(0xff0d if c == "\n" else ord(c), down)

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def listen(self, sample, channels, frequency):
        """sample: 0 U8, 1 S8, 2 U16, 3 S16, 4 U32, 5 S32."""
        self.socket.sendall(struct.pack(">BBHBBI", 255, 1, 2, sample, channels, frequency) + struct.pack(">BBH", 255, 1, 0))

    def close(self):
        self.socket.close()
