#!/bin/sh
# Fetches test guests (Debian packages) and builds the initrd, all into a cache outside the repository.
#
#   guests.sh fetch     download and unpack what is missing
#   guests.sh debian    build debian.img, Debian on a disk image (debian-disk.sh)
#   guests.sh vm86      build vm86/, a kernel with virtual-8086 mode and the kernel's selftests (vm86-kernel.sh)
#   guests.sh kvm-host  fetch kvm-host/, an amd64 kernel with KVM to run in QEMU (kvm-host.sh)
#   guests.sh real      build real-i386/, a Debian userland for tests/bench/real.py (real-tree.sh)
#   guests.sh dir       print the cache directory
#
# The cache is $RINGER_CACHE, default ~/.cache/ringer. It holds:
#   vmlinuz-686  vmlinuz-686-pae  busybox  initrd.gz  modules-686/*.ko (drivers of disks, in the order of loading)
#   virtio-686/*.ko (drivers of virtio devices, the same)  input-686/*.ko (of /dev/input/event*)  net-686/*.ko (of network cards)
#   sound-686/*.ko, sound-more-686/*.ko (of sound cards, and OSS's devices)
#   usb-686/*.ko (of UHCI and of keyboards, mice and tablets on USB)
#   graphics-686/*.ko (of graphics cards)
#   usb-disk-686/*.ko (of other USB controllers, of disks on USB, and a file system)
#   x11/root (an X server with drivers, a few clients and what they link to)  x11/drivers/*.ko (of cards, pointers, the disk)
#   fat-686/*.ko (the FAT file system)  xhci-686/*.ko (USB 3 controllers)
#   net-tools/bin, net-tools/lib (dropbear, iperf3 and their libraries)
#   grub-rescue-floppy.img  grub-rescue-cdrom.iso  memtest86+ia32.iso  ipxe.iso
#   netboot/ (Debian's installer for network boot)  installer-linux  installer-initrd.gz (its kernel and initrd)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${RINGER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringer}

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
fi

say() {
    echo "guests: $*" >&2
}

# Prints the newest version of a virtual kernel package's real one.
real_kernel() {
    apt-cache depends "$1:i386" | sed -n 's/^ *Depends: \(linux-image-[0-9][^: ]*\).*/\1/p' | head -n 1
}

need_apt_lists() {
    [ -e "$cache/.apt-ready" ] && return
    if ! dpkg --print-foreign-architectures | grep -qx i386; then
        say "adding Debian's i386 architecture"
        $as_root dpkg --add-architecture i386
    fi
    say "updating package lists"
    # One broken mirror index must not stop us: what counts is whether the packages are found below.
    $as_root apt-get update -qq || say "some package lists could not be updated, going on with the others"
    touch "$cache/.apt-ready"
}

# fetch_file PACKAGE PATH-PATTERN DESTINATION [ARCHITECTURE]
fetch_file() {
    [ -s "$3" ] && return
    need_apt_lists
    architecture=${4:-i386}
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    chmod 755 "$tmp"
    say "downloading $1"
    (cd "$tmp" && apt-get download -qq "$1:$architecture") || {
        rm -rf "$tmp" "$cache/.apt-ready"
        say "cannot download $1 ($architecture): check the network and 'apt-get update'"
        exit 1
    }
    dpkg-deb -x "$tmp"/*.deb "$tmp/x"
    # shellcheck disable=SC2086
    cp "$tmp"/x/$2 "$3.part"
    mv "$3.part" "$3"
    rm -rf "$tmp"
}

# The kernel package that vmlinuz-686 is out of, unpacked: sets $kernel. It goes away at the end.
kernel=
unpack_kernel() {
    [ -z "$kernel" ] || return 0
    need_apt_lists
    package=$(cat "$cache/modules-686/.complete" 2>/dev/null || real_kernel linux-image-686)
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    chmod 755 "$tmp"
    say "downloading $package (drivers)"
    (cd "$tmp" && apt-get download -qq "$package:i386") || {
        rm -rf "$tmp" "$cache/.apt-ready"
        say "cannot download $package (i386): check the network and 'apt-get update'; if there is a newer one, remove" \
            "$cache/modules-686 and fetch again"
        exit 1
    }
    dpkg-deb -x "$tmp"/*.deb "$tmp/x"
    kernel="$tmp/x"
    trap 'rm -rf "${kernel%/x}"' EXIT
}

# fetch_drivers FOLDER MODULE...: as FOLDER/10-MODULE.ko, 11-..., an order in which insmod succeeds. What is part of the
# kernel is left out.
fetch_drivers() {
    dest="$cache/$1"
    shift
    [ -s "$dest/.complete" ] && return
    unpack_kernel
    mkdir -p "$dest"
    number=10
    for module; do
        file=$(find "$kernel/lib/modules" -name "$module.ko")
        [ -z "$file" ] || cp "$file" "$dest/$number-$module.ko"
        number=$((number + 1))
    done
    echo "$package" >"$dest/.complete"
}

# What vmlinuz-686 needs for IDE and floppy drives.
fetch_modules() {
    [ -s "$cache/modules-686/.complete" ] && return
    unpack_kernel
    cp "$kernel"/boot/vmlinuz-* "$cache/vmlinuz-686.part" # of the same version
    mv "$cache/vmlinuz-686.part" "$cache/vmlinuz-686"
    fetch_drivers modules-686 crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi scsi_common scsi_mod sd_mod cdrom \
        sr_mod libata ata_piix floppy
}

# fetch_tree FOLDER PACKAGE... -- FILE...: programs and libraries for an initrd; FOLDER/bin and FOLDER/lib.
fetch_tree() {
    dest="$cache/$1"
    shift
    [ -s "$dest/.complete" ] && return
    need_apt_lists
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    chmod 755 "$tmp"
    packages=
    while [ "$1" != -- ]; do
        packages="$packages $1"
        shift
    done
    shift
    say "downloading$packages"
    for package in $packages; do
        (cd "$tmp" && apt-get download -qq "$package:i386") || {
            rm -rf "$tmp" "$cache/.apt-ready"
            say "cannot download $package (i386): check the network and 'apt-get update'"
            exit 1
        }
    done
    for deb in "$tmp"/*.deb; do
        dpkg-deb -x "$deb" "$tmp/x"
    done
    mkdir -p "$dest/bin" "$dest/lib"
    for file; do
        case $file in
        *.so*) cp -L "$(find "$tmp/x" -path "*/lib/*" -name "$file" | head -n 1)" "$dest/lib/$file" ;;
        *) cp -L "$(find "$tmp/x" -path "*bin/$file" | head -n 1)" "$dest/bin/$file" ;;
        esac
    done
    echo complete >"$dest/.complete"
    rm -rf "$tmp"
}

fetch_network() {
    fetch_drivers net-686 mii e1000 pcnet32 8139too 8139cp 8390 8390p ne2k-pci ne
    fetch_tree net-tools dropbear-bin libtomcrypt1 libtommath1 libgmp10 zlib1g libcrypt1 libc6 iperf3 libiperf0 \
        libsctp1 libssl3 -- dropbear dropbearkey iperf3 ld-linux.so.2 libtomcrypt.so.1 libtommath.so.1 libgmp.so.10 \
        libz.so.1 libcrypt.so.1 libc.so.6 libm.so.6 libiperf.so.0 libsctp.so.1 libcrypto.so.3 libssl.so.3
}

fetch_git() {
    fetch_tree git-686 git libpcre2-8-0 zlib1g libc6 -- git ld-linux.so.2 libpcre2-8.so.0 libz.so.1 libc.so.6
}

# An X server without OpenGL, in a folder that tests make a disk of (tests/lib/xguest.py). Its own fonts do.
fetch_x11() {
    fetch_drivers x11/drivers syscopyarea sysfillrect sysimgblt fb_sys_fops drm drm_shmem_helper drm_kms_helper ttm \
        drm_ttm_helper drm_vram_helper bochs cirrus psmouse evdev uinput usb-common usbcore uhci-hcd hid hid-generic usbhid virtio \
        virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_input crct10dif_common crc-t10dif crc64 \
        crc64-rocksoft t10-pi scsi_common scsi_mod sd_mod libata ata_piix crc16 mbcache jbd2 crc32c_generic ext4
    grep -qs vmware "$cache/x11/.complete" && return
    need_apt_lists
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    chmod 755 "$tmp"
    say "downloading an X server"
    packages=xkb-data
    for package in xserver-xorg-core xserver-xorg-video-vesa xserver-xorg-video-fbdev xserver-xorg-video-cirrus xserver-xorg-video-vmware \
        xserver-xorg-input-evdev x11-xkb-utils x11-apps x11-xserver-utils xterm libaudit1 libbrotli1 libbsd0 libbz2-1.0 \
        libc6 libcap-ng0 libcap2 libdbus-1-3 libdrm2 libevdev2 libexpat1 libfontconfig1 libfontenc1 libfreetype6 \
        libgcrypt20 libgpg-error0 libice6 liblz4-1 liblzma5 libmd0 libmtdev1 libpciaccess0 libpcre2-8-0 libpixman-1-0 \
        libpng16-16 libselinux1 libsm6 libsystemd0 libtinfo6 libudev1 libunwind8 libutempter0 libuuid1 libx11-6 \
        libx11-xcb1 libxau6 libxaw7 libxcb-damage0 libxcb-present0 libxcb-xfixes0 libxcb1 libxcursor1 libxcvt0 libxdmcp6 \
        libxext6 libxfixes3 libxfont2 libxft2 libxi6 libxinerama1 libxkbfile1 libxmu6 libxmuu1 libxpm4 libxrender1 \
        libxshmfence1 libxt6 libzstd1 zlib1g; do
        packages="$packages $package:i386"
    done
    # shellcheck disable=SC2086
    (cd "$tmp" && apt-get download -qq $packages) || {
        rm -rf "$tmp" "$cache/.apt-ready"
        say "cannot download all of $packages: check the network and 'apt-get update'"
        exit 1
    }
    for deb in "$tmp"/*.deb; do
        dpkg-deb -x "$deb" "$tmp/x"
    done
    for folder in share/doc share/man share/lintian share/bug share/locale share/icons share/metainfo share/terminfo include \
        lib/i386-linux-gnu/gconv lib/xorg/modules/libglamoregl.so lib/xorg/modules/extensions; do
        rm -rf "$tmp/x/usr/$folder" "$tmp/x/lib/${folder#lib/}"
    done
    rm -rf "$cache/x11/root"
    mv "$tmp/x" "$cache/x11/root"
    echo complete, with the vmware driver >"$cache/x11/.complete"
    rm -rf "$tmp"
}

# The tree that a TFTP server offers, and its kernel and initrd, all in a package of 100 MiB.
fetch_installer() {
    [ -s "$cache/installer-linux" ] && [ -s "$cache/installer-initrd.gz" ] && [ -e "$cache/netboot/.complete" ] && return
    need_apt_lists
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    chmod 755 "$tmp"
    say "downloading debian-installer-12-netboot-i386"
    (cd "$tmp" && apt-get download -qq debian-installer-12-netboot-i386) || {
        rm -rf "$tmp" "$cache/.apt-ready"
        say "cannot download debian-installer-12-netboot-i386: check the network and 'apt-get update'"
        exit 1
    }
    dpkg-deb -x "$tmp"/*.deb "$tmp/x"
    rm -rf "$cache/netboot"
    cp -a "$tmp/x/usr/lib/debian-installer/images/12/i386/text" "$cache/netboot"
    cp "$cache/netboot/debian-installer/i386/initrd.gz" "$cache/installer-initrd.gz"
    cp "$cache/netboot/debian-installer/i386/linux" "$cache/installer-linux"
    touch "$cache/netboot/.complete"
    rm -rf "$tmp"
}

build_initrd() {
    [ "$cache/initrd.gz" -nt "$here/guest-init.sh" ] && [ "$cache/initrd.gz" -nt "$cache/busybox" ] && return
    say "building initrd.gz"
    root=$(mktemp -d "$cache/root.XXXXXX")
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/root"
    cp "$cache/busybox" "$root/bin/busybox"
    chmod 755 "$root/bin/busybox"
    cp "$here/guest-init.sh" "$root/init"
    chmod 755 "$root/init"
    if [ -d "$cache/bin" ]; then
        cp "$cache"/bin/* "$root/bin/"
    fi
    (cd "$root" && find . | sort | cpio -o -H newc -R 0:0 --quiet) | gzip -9n >"$cache/initrd.part"
    mv "$cache/initrd.part" "$cache/initrd.gz"
    rm -rf "$root"
}

case ${1:-fetch} in
dir)
    echo "$cache"
    ;;
fetch)
    mkdir -p "$cache"
    if [ ! -s "$cache/vmlinuz-686" ] || [ ! -s "$cache/vmlinuz-686-pae" ]; then
        need_apt_lists
    fi
    fetch_file "$([ -s "$cache/vmlinuz-686" ] || real_kernel linux-image-686)" "boot/vmlinuz-*" "$cache/vmlinuz-686"
    fetch_file "$([ -s "$cache/vmlinuz-686-pae" ] || real_kernel linux-image-686-pae)" "boot/vmlinuz-*" \
        "$cache/vmlinuz-686-pae"
    fetch_modules
    fetch_drivers virtio-686 virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
        failover net_failover virtio_net virtio_console rng-core virtio-rng virtio_balloon virtio_input netfs fscache \
        9pnet 9pnet_virtio 9p
    fetch_drivers input-686 evdev
    fetch_drivers sound-686 soundcore snd snd-timer snd-pcm snd-seq-device snd-rawmidi gameport snd-ens1370 snd-mixer-oss \
        snd-pcm-oss
    fetch_drivers sound-more-686 snd-hwdep snd-opl3-lib snd-mpu401-uart snd-sb-common snd-sb16-csp snd-sb16-dsp snd-sb16 \
        ac97_bus snd-ac97-codec snd-intel8x0
    fetch_drivers usb-686 usb-common usbcore uhci-hcd hid hid-generic usbhid
    fetch_drivers graphics-686 syscopyarea sysfillrect sysimgblt fb_sys_fops drm drm_shmem_helper drm_kms_helper cirrus \
        cirrusfb
    fetch_drivers graphics-more-686 virtio_dma_buf virtio-gpu ttm drm_ttm_helper vmwgfx
    fetch_drivers usb-disk-686 ehci-hcd ehci-pci ohci-hcd ohci-pci usb-storage crc16 mbcache jbd2 crc32c_generic ext4
    fetch_drivers xhci-686 xhci-hcd xhci-pci
    fetch_drivers fat-686 nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 fat vfat
    fetch_network
    fetch_git
    fetch_x11
    fetch_file busybox-static "bin/busybox" "$cache/busybox"
    fetch_file grub-rescue-pc "usr/lib/grub-rescue/grub-rescue-floppy.img" "$cache/grub-rescue-floppy.img"
    fetch_file grub-rescue-pc "usr/lib/grub-rescue/grub-rescue-cdrom.iso" "$cache/grub-rescue-cdrom.iso"
    fetch_file memtest86+ "usr/lib/memtest86+/memtest86+ia32.iso" "$cache/memtest86+ia32.iso"
    fetch_file ipxe "usr/lib/ipxe/ipxe.iso" "$cache/ipxe.iso" all
    fetch_installer
    build_initrd
    ;;
debian)
    mkdir -p "$cache"
    if [ ! -s "$cache/debian.img" ]; then
        need_apt_lists
        say "building debian.img, a Debian system on a disk (some minutes)"
        $as_root sh "$here/debian-disk.sh" "$cache/debian.img"
        [ -z "$as_root" ] || $as_root chown "$(id -u)" "$cache/debian.img"
    fi
    ;;
vm86)
    mkdir -p "$cache"
    if [ ! -s "$cache/vm86/bzImage" ]; then
        need_apt_lists
        say "building a kernel with virtual-8086 mode (some minutes)"
        sh "$here/vm86-kernel.sh" "$cache/vm86"
    fi
    ;;
kvm-host)
    mkdir -p "$cache"
    if [ ! -s "$cache/kvm-host/vmlinuz" ]; then
        need_apt_lists
        sh "$here/kvm-host.sh" "$cache/kvm-host"
    fi
    ;;
real)
    mkdir -p "$cache"
    if [ ! -e "$cache/real-i386/.complete" ]; then
        need_apt_lists
        $as_root sh "$here/real-tree.sh" "$cache/real-i386"
    fi
    $as_root env RINGER_CACHE="$cache" python3 "$here/../bench/real.py" --prepare
    ;;
*)
    echo "usage: guests.sh [fetch|debian|vm86|kvm-host|real|dir]" >&2
    exit 2
    ;;
esac
