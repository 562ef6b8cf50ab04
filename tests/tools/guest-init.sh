#!/bin/busybox sh
# First process of the test guest: a shell on the console.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=${TERM:-linux} PS1='guest# '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
dmesg -n 1 # kernel messages in the middle of a command would look like its output
echo "ringer-guest: shell ready after $(cut -d ' ' -f 1 /proc/uptime) s"
exec setsid cttyhack sh
