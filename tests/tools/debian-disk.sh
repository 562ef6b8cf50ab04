#!/bin/sh
# Builds a Debian 12 i386 system on a partitioned disk image with GRUB in its MBR.
#
#   debian-disk.sh IMAGE [MIB]     (needs root: debootstrap installs into a chroot)
#
# root's password is empty; the console is the first serial line and the screen. Packages come from the mirror that
# this machine's apt uses. Nothing is mounted: the file system is filled by mke2fs, GRUB is written as bytes.
set -eu

image=${1:?usage: debian-disk.sh IMAGE [MIB]}
mib=${2:-1024}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

say() {
    echo "debian-disk: $*" >&2
}

missing=
for program in debootstrap:debootstrap mke2fs:e2fsprogs sfdisk:fdisk grub-mkimage:grub-common; do
    command -v "${program%%:*}" >/dev/null || missing="$missing ${program##*:}"
done
[ -e /usr/lib/grub/i386-pc/boot.img ] || missing="$missing grub-pc-bin"
if [ -n "$missing" ]; then
    say "installing$missing"
    # shellcheck disable=SC2086
    apt-get install -qq -y $missing >/dev/null
fi

mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
say "debootstrap from ${mirror:=http://deb.debian.org/debian}"
proxy=$(apt-config shell P Acquire::http::Proxy | sed "s/^P='\(.*\)'/\1/")
http_proxy=${proxy:-${http_proxy:-}} debootstrap --arch=i386 --variant=minbase \
    --include=linux-image-686,systemd-sysv,udev,kmod,e2fsprogs,initramfs-tools,login,util-linux,mount \
    bookworm "$root" "$mirror" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" "$root/debootstrap/debootstrap.log" >&2
    say "debootstrap failed"
    exit 1
}

say "settings"
echo ringer-disk >"$root/etc/hostname"
printf '/dev/sda1 / ext4 errors=remount-ro 0 1\n' >"$root/etc/fstab"
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
mkdir -p "$root/boot/grub"
kernel=$(basename "$root"/boot/vmlinuz-*)
initrd=$(basename "$root"/boot/initrd.img-*)
cat >"$root/boot/grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_output console serial
set timeout=1
menuentry "Debian on Ringer" {
    linux /boot/$kernel root=/dev/sda1 ro console=tty0 console=ttyS0 net.ifnames=0
    initrd /boot/$initrd
}
CFG
cp -r /usr/lib/grub/i386-pc "$root/boot/grub/"

say "disk image"
rm -f "$image.part"
truncate -s "${mib}M" "$image.part"
printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q "$image.part"
mke2fs -q -t ext4 -d "$root" -L ringer -E offset=$((2048 * 512)) "$image.part" "$((mib - 1))M"

# GRUB: its first sector knows the second by number 1, which knows that the rest follows.
grub-mkimage -O i386-pc -o "$work/core.img" -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2 normal linux \
    serial terminal configfile search ls echo
[ "$(stat -c %s "$work/core.img")" -lt $((2047 * 512)) ]
dd if=/usr/lib/grub/i386-pc/boot.img of="$image.part" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$image.part" bs=512 seek=1 conv=notrunc status=none
mv "$image.part" "$image"
say "$image is ready"
