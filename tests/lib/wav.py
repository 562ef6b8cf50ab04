"""Files of -audiodev wav: read and looked at."""
import cmath
import math
import struct


def read(path, ended=True):
    """(rate, left samples as -1 to 1); 16 bits, stereo. The head says how long the file is; its writer was killed
    (not ended): it may be behind by a piece."""
    with open(path, "rb") as f:
        data = f.read()
    if not ended:
        data = data[:max(44, struct.unpack_from("<I", data, 40)[0] + 44)]
    if data[:4] != b"RIFF" or struct.unpack_from("<II", data, 4)[0] != len(data) - 8 or \
            struct.unpack_from("<I", data, 40)[0] != len(data) - 44:
        raise ValueError("%s: sizes in the head are wrong: %s, %d bytes" % (path, data[:44].hex(), len(data)))
    return struct.unpack_from("<I", data, 24)[0], [s[0] / 32768 for s in struct.iter_unpack("<hh", data[44:])]


def tone(samples, hz, rate):
    """Amplitude of a tone."""
    step = -2j * math.pi * hz / rate
    return 2 / len(samples) * abs(sum(s * cmath.exp(step * i) for i, s in enumerate(samples)))
