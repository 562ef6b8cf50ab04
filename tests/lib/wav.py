"""Files of -audiodev wav: read and looked at."""
import cmath
import math
import struct


def read_sides(path, ended=True):
    """(rate, left samples as -1 to 1, right ones); 16 bits, stereo. The head says how long the file is; its writer was killed
    (not ended): it may be behind by a piece."""
    with open(path, "rb") as f:
        data = f.read()
    if not ended:
        data = data[:max(44, struct.unpack_from("<I", data, 40)[0] + 44)]
    if data[:4] != b"RIFF" or struct.unpack_from("<II", data, 4)[0] != len(data) - 8 or \
            struct.unpack_from("<I", data, 40)[0] != len(data) - 44:
        raise ValueError("%s: sizes in the head are wrong: %s, %d bytes" % (path, data[:44].hex(), len(data)))
    pairs = list(struct.iter_unpack("<hh", data[44:]))
    return struct.unpack_from("<I", data, 24)[0], [s[0] / 32768 for s in pairs], [s[1] / 32768 for s in pairs]


def read(path, ended=True):
    """As read_sides, but for the right ones."""
    return read_sides(path, ended)[:2]


def tone(samples, hz, rate):
    """Amplitude of a tone."""
    step = -2j * math.pi * hz / rate
    return 2 / len(samples) * abs(sum(s * cmath.exp(step * i) for i, s in enumerate(samples)))
