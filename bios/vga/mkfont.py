#!/usr/bin/env python3
"""Makes the video BIOS's fonts: mkfont.py font.txt OUT.c

font.txt holds what is drawn by hand, for a height of 16. From that and from rules come the 256 characters of code page
437 at heights 16, 14 and 8: accented letters are a letter and an accent, box drawing is lines through the cell's middle.
"""
import sys

CP437 = (
    " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼" + "".join(map(chr, range(32, 127))) + "⌂"
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»"
    "░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0")

ACCENTS = {  # three rows above the letter
    "acute": ["....##..", "...##...", "........"],
    "grave": [".##.....", "..##....", "........"],
    "circumflex": ["..##....", ".####...", "........"],
    "dieresis": [".##.##..", ".##.##..", "........"],
    "ring": ["..###...", "..#.#...", "..###..."],
    "tilde": [".###.##.", "##.###..", "........"],
}
ACCENTED = {}
for accent, pairs in {
        "acute": "éeáaíióoúuÉE", "grave": "àaèeìiòoùu", "circumflex": "âaêeîiôoûu",
        "dieresis": "üuäaëeïiöoÿyÄAÖOÜU", "ring": "åaÅA", "tilde": "ñnÑN"}.items():
    for at in range(0, len(pairs), 2):
        ACCENTED[pairs[at]] = (pairs[at + 1], accent)

# Arms of a box drawing character: up, right, down, left; 0 none, 1 single, 2 double.
BOX = dict(zip(
    "│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌",
    "1010 1011 1012 2021 0021 0012 2022 2020 0022 2002 2001 1002 0011 1100 1101 0111 1110 0101 1111 1210 2120 2200 "
    "0220 2202 0222 2220 0202 2222 1202 2101 0212 0121 2100 1200 0210 0120 2121 1212 1001 0110".split()))


def bits(row):
    return int(row.ljust(8, ".").replace("#", "1").replace(".", "0"), 2)


def read_bands(path):
    glyphs = {}
    names = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("@ ") and "|" not in line[2:].replace(" | ", ""):
                names = [chr(int(n[2:], 16)) if n.startswith("U+") else n for n in line[2:].split(" ")]
                for name in names:
                    glyphs[name] = []
            elif "|" in line and not line.startswith("# "):
                columns = line.split("|")
                if len(columns) != len(names):
                    sys.exit("mkfont.py: band of '%s': %d columns, %d names" % (names[0], len(columns), len(names)))
                for name, column in zip(names, columns):
                    glyphs[name].append(bits(column))
    for name, rows in glyphs.items():
        if len(rows) != 12:
            sys.exit("mkfont.py: '%s' has %d rows" % (name, len(rows)))
    return {name: [0, 0] + rows + [0, 0] for name, rows in glyphs.items()}


def accented(glyphs, letter, accent):
    base = list(glyphs["ı" if letter == "i" else letter])
    rows = [bits(row) for row in ACCENTS[accent]]
    if letter.isupper():  # squeezed: the letter loses two of its lines, where they repeat
        body = squeeze(base[2:12], 8)
        base[2:12] = [0, 0] + body
        base[1:4] = rows if accent == "ring" else [rows[0], rows[1], 0]
        if accent == "ring":
            base[1:4] = [rows[0], rows[1], rows[2] | base[4]]
    else:
        base[2:5] = rows
        if accent == "ring":
            base[1:4] = rows
            base[4] = 0
    return base


def squeeze(rows, want):
    """Drops lines, those that are most like a neighbour first, never the first or last."""
    rows = list(rows)
    while len(rows) > want:
        def cost(i):
            return min(bin(rows[i] ^ rows[i - 1]).count("1"),
                       bin(rows[i] ^ rows[i + 1]).count("1")) if 0 < i < len(rows) - 1 else 99
        # Ties: the line nearest to the middle goes.
        at = min(range(len(rows)), key=lambda i: (cost(i), abs(2 * i - len(rows) + 1)))
        del rows[at]
    return rows


def derive_8(rows):
    """Ascender lines 2-4 become two, x-height 5-11 five, descenders 12-13 one."""
    top, middle = rows[2:5], rows[5:12]
    if any(top) and any(middle):
        # One glyph over all: squeezed together, the line between the zones stays where it is.
        upper = squeeze(top + [middle[0]], 3)[:2]
    else:
        upper = [top[0] | top[1], top[2]] if any(top) else [0, 0]
    lower = squeeze(middle, 5)
    return upper + lower + [rows[12] | rows[13]]


def derive_14(rows):
    return rows[1:15]


def box(char, height):
    up, right, down, left = (int(c) for c in BOX[char])
    rows = [0] * height
    middle = height // 2 - 1
    # Columns 3 and 4 are the single stroke's; 2 and 5 the double's (one dot each, so that 8 dots suffice).
    single_x, double_x = [3, 4], ([1, 2], [5, 6])
    lines_y = {1: [middle], 2: [middle - 1, middle + 1]}

    def dot(x, y):
        if 0 <= x < 8 and 0 <= y < height:
            rows[y] |= 0x80 >> x

    vertical = max(up, down)
    horizontal = max(left, right)
    ys = lines_y.get(horizontal, [middle])
    xs = {0: [single_x], 1: [single_x], 2: list(double_x)}[vertical]
    for arm, y_range in ((up, range(0, ys[-1] + 1)), (down, range(ys[0], height))):
        for columns in (xs if arm else []):
            for y in y_range:
                # A double line leaves the room between the double arms of the other direction free.
                if vertical == 2 and horizontal == 2 and len(ys) == 2 and ys[0] < y < ys[1]:
                    side = right if columns is xs[1] else left
                    if side:
                        continue
                for x in columns:
                    dot(x, y)
    for arm, x_range in ((left, range(0, xs[-1][-1] + 1)), (right, range(xs[0][0], 8))):
        for y in (ys if arm else []):
            for x in x_range:
                if vertical == 2 and horizontal == 2 and xs[0][-1] < x < xs[1][0]:
                    if up if y == ys[0] else down:
                        continue
                if vertical == 2 and horizontal == 1 and up and down and not (left and right):
                    # A single arm ends at the nearer stroke of a double line.
                    if arm == left and x > xs[0][-1] or arm == right and x < xs[1][0]:
                        continue
                dot(x, y)
    # A single stroke that ends at a double one of the other direction ends at the nearer of the two.
    if vertical == 1 and horizontal == 2 and left and right and not (up and down):
        for y in range(ys[0] + 1, ys[1]):
            rows[y] = 0
        if up:
            for y in range(ys[1], ys[1] + 1):
                rows[y] = 0xff
    return rows


def shade(pattern, height):
    return [pattern[y % len(pattern)] for y in range(height)]


def computed(char, height):
    """What is drawn anew for each height, or None."""
    half = height // 2
    if char in BOX:
        return box(char, height)
    if char == "░":
        return shade([0x22, 0x88], height)
    if char == "▒":
        return shade([0x55, 0xaa], height)
    if char == "▓":
        return shade([0xdd, 0x77], height)
    if char == "█":
        return [0xff] * height
    if char == "▄":
        return [0] * half + [0xff] * (height - half)
    if char == "▀":
        return [0xff] * half + [0] * (height - half)
    if char == "▌":
        return [0xf0] * height
    if char == "▐":
        return [0x0f] * height
    if char == "⌠":
        return [0x0e, 0x1b, 0x1b] + [0x18] * (height - 3)
    if char == "⌡":
        return [0x18] * (height - 3) + [0xd8, 0xd8, 0x70]
    if char in " \u00a0":
        return [0] * height
    return None


def main():
    glyphs = read_bands(sys.argv[1])
    for char, (letter, accent) in ACCENTED.items():
        glyphs[char] = accented(glyphs, letter, accent)
    for inverse, of in (("◘", "•"), ("◙", "○")):
        glyphs[inverse] = [row ^ 0xff for row in glyphs[of]]
    fonts = {8: [], 14: [], 16: []}
    if len(CP437) != 256:
        sys.exit("mkfont.py: %d characters" % len(CP437))
    for char in CP437:
        for height in fonts:
            rows = computed(char, height)
            if rows is None:
                if char not in glyphs:
                    sys.exit("mkfont.py: '%s' (U+%04X) is not drawn" % (char, ord(char)))
                if char in "◘◙" and height == 8:
                    rows = [row ^ 0xff for row in derive_8([row ^ 0xff for row in glyphs[char]])]
                else:
                    rows = {8: derive_8, 14: derive_14, 16: list}[height](glyphs[char])
            assert len(rows) == height, char
            fonts[height].append(rows)
    if len(sys.argv) > 3:  # for the host: one height
        with open(sys.argv[2], "w", encoding="ascii") as out:
            height = int(sys.argv[3])
            out.write("/* Made by mkfont.py from font.txt. */\n#include <stdint.h>\n\n")
            out.write("extern const uint8_t glyphs_8x%d[256 * %d];\nconst uint8_t glyphs_8x%d[256 * %d] = {\n" % ((height,) * 4))
            for number, rows in enumerate(fonts[height]):
                out.write("    %s, /* %02x */\n" % (", ".join("0x%02x" % row for row in rows), number))
            out.write("};\n")
        return
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write("/* Made by mkfont.py from font.txt. */\n#include \"vga.h\"\n")
        for height, font in sorted(fonts.items()):
            out.write("\nROM uint8_t font_8x%d[256 * %d] ROM_SECTION = {\n" % (height, height))
            for number, rows in enumerate(font):
                out.write("    %s, /* %02x */\n" % (", ".join("0x%02x" % row for row in rows), number))
            out.write("};\n")


main()
