"""Servers on the loopback device for guests to talk to: HTTP with data that need no file, and a name server."""
import hashlib
import http.server
import socket
import struct
import threading

BLOCK = 1 << 20


def block(number):
    """The megabyte of that number: pseudo-random, the same each time."""
    seed = hashlib.sha256(b"%d" % number).digest()
    return (seed * (BLOCK // len(seed) + 1))[:BLOCK]


class DataHandler(http.server.BaseHTTPRequestHandler):
    """GET /N: N megabytes. GET of a path in server.texts: that text. POST: the body's MD5."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        if self.path in self.server.texts:
            self.server.asked.append(self.path)
            self.reply(self.server.texts[self.path].encode())
            return
        try:
            count = int(self.path.strip("/"))
        except ValueError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(count * BLOCK))
        self.end_headers()
        for number in range(count):
            self.wfile.write(block(number))

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        digest = hashlib.md5()
        while left:
            part = self.rfile.read(min(left, BLOCK))
            if not part:
                return
            digest.update(part)
            left -= len(part)
        self.reply(digest.hexdigest().encode())


def data_md5(count):
    digest = hashlib.md5()
    for number in range(count):
        digest.update(block(number))
    return digest.hexdigest()


def start_http(texts=None, port=0, address="127.0.0.1"):
    """The server; its port is server.server_port."""
    server = http.server.ThreadingHTTPServer((address, port), DataHandler)
    server.daemon_threads = True
    server.texts = texts or {}
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def start_dns(names):
    """Answers for {name: IPv4 address} at 127.0.0.1:53; others do not exist."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def run():
        while True:
            query, peer = server.recvfrom(2048)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            question = query[12:at + 5]
            address = names.get(".".join(labels).lower())
            answers = b""
            if address and kind == 1:
                answers = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
            flags = 0x8580 | (0 if address else 3)
            server.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0) + question + answers,
                          peer)

    threading.Thread(target=run, daemon=True).start()
    return server
