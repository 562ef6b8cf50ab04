"""What comes out of an input device of a Linux guest (linux/input.h)."""
import re
import time


def event_of(guest, name):
    return guest.run("for e in /sys/class/input/event*; do [ \"$(cat $e/device/name)\" = '%s' ] && "
                     "echo ${e##*/}; done; true" % name).strip()


def watched(guest, device, act, is_all):
    """The events (type, code, value) that come when act() is done, until is_all(events): 16 bytes each on this kernel.
    The device is open before act(), and what has come is looked at again and again, however slow the host is."""
    guest.run("exec 3</dev/input/%s; cat <&3 >/tmp/events 2>/dev/null &\nexec 3<&-; echo $! >/tmp/pid" % device)
    time.sleep(1)
    act()
    events = []
    for _ in range(60):
        text = guest.run("hexdump -v -e '16/1 \"%02x\" \"\\n\"' /tmp/events", 90)
        raws = [bytes.fromhex(line) for line in re.findall(r"^[0-9a-f]{32}$", text.replace("\r", ""), re.M)]
        events = [(int.from_bytes(raw[8:10], "little"), int.from_bytes(raw[10:12], "little"),
                   int.from_bytes(raw[12:16], "little", signed=True)) for raw in raws]
        if is_all(events):
            break
        time.sleep(0.5)
    guest.run("kill $(cat /tmp/pid)")
    return events
