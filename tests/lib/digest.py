"""Files compared by what is in them."""
import hashlib


def sum_of(path):
    """SHA-256, in hexadecimal, as sha256sum prints it."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
