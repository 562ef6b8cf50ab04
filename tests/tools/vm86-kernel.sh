#!/bin/sh
# Builds a small i386 Linux kernel that has virtual-8086 mode and a frame buffer with Tux, which Debian's lack, and the kernel's
# own 32-bit x86 selftests, both out of Debian's package linux-source-6.1.
#
#   vm86-kernel.sh FOLDER       writes FOLDER/bzImage and FOLDER/selftests/* (about 10 minutes)
#
# LINUX_SOURCE=DIR takes an unpacked source tree instead of downloading the package (140 MiB).
set -eu

dest=${1:?usage: vm86-kernel.sh FOLDER}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

say() {
    echo "vm86-kernel: $*" >&2
}

missing=
for program in make:make flex:flex bison:bison bc:bc xz:xz-utils cpp:gcc; do
    command -v "${program%%:*}" >/dev/null || missing="$missing ${program##*:}"
done
printf 'int main(void) { return 0; }\n' >"$work/t.c"
gcc -m32 -static -o "$work/t" "$work/t.c" 2>/dev/null || missing="$missing gcc-multilib"
if [ -n "$missing" ]; then
    say "installing$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    # shellcheck disable=SC2086
    $as_root apt-get install -qq -y --no-install-recommends $missing >/dev/null
fi

source=${LINUX_SOURCE:-}
if [ -z "$source" ]; then
    say "downloading linux-source-6.1"
    (cd "$work" && apt-get download -qq linux-source-6.1)
    say "unpacking"
    dpkg-deb --fsys-tarfile "$work"/linux-source-6.1_*.deb |
        tar -xO --wildcards './usr/src/linux-source-6.1.tar.xz' |
        tar -xJ -C "$work" --exclude='*/Documentation'
    rm "$work"/*.deb
    source=$work/linux-source-6.1
    mkdir -p "$source/Documentation"
    touch "$source/Documentation/Kconfig"
fi

# On top of tinyconfig: what a shell on a serial line needs, what the selftests ask for, and the penguin.
cat >"$work/fragment" <<'CFG'
# CONFIG_64BIT is not set
CONFIG_M686=y
CONFIG_PCI=y
CONFIG_ACPI=y
CONFIG_X86_UP_APIC=y
CONFIG_X86_UP_IOAPIC=y
CONFIG_HPET_TIMER=y
CONFIG_HIGH_RES_TIMERS=y
CONFIG_NO_HZ_IDLE=y
CONFIG_RTC_CLASS=y
CONFIG_PRINTK=y
CONFIG_BUG=y
CONFIG_KALLSYMS=y
CONFIG_TTY=y
CONFIG_VT=y
CONFIG_UNIX98_PTYS=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_RD_GZIP=y
CONFIG_BINFMT_ELF=y
CONFIG_BINFMT_SCRIPT=y
CONFIG_PROC_FS=y
CONFIG_PROC_SYSCTL=y
CONFIG_SYSFS=y
CONFIG_TMPFS=y
CONFIG_SHMEM=y
CONFIG_DEVTMPFS=y
CONFIG_MULTIUSER=y
CONFIG_FUTEX=y
CONFIG_EPOLL=y
CONFIG_EVENTFD=y
CONFIG_SIGNALFD=y
CONFIG_TIMERFD=y
CONFIG_POSIX_TIMERS=y
CONFIG_COMPAT_32BIT_TIME=y
CONFIG_SYSVIPC=y
CONFIG_CROSS_MEMORY_ATTACH=y
CONFIG_ADVISE_SYSCALLS=y
CONFIG_MEMBARRIER=y
CONFIG_RSEQ=y
CONFIG_SECCOMP=y
CONFIG_PERF_EVENTS=y
CONFIG_MODIFY_LDT_SYSCALL=y
CONFIG_X86_16BIT=y
CONFIG_X86_IOPL_IOPERM=y
CONFIG_X86_LEGACY_VM86=y
CONFIG_X86_UMIP=y
CONFIG_FB=y
CONFIG_FB_VESA=y
CONFIG_FRAMEBUFFER_CONSOLE=y
CONFIG_LOGO=y
CONFIG_LOGO_LINUX_CLUT224=y
CONFIG_KERNEL_GZIP=y
# CONFIG_KERNEL_XZ is not set
# CONFIG_SPECULATION_MITIGATIONS is not set
CFG

say "configuring"
build=$work/build
mkdir "$build"
jobs=$(nproc)
make -s -C "$source" O="$build" ARCH=i386 tinyconfig >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$source/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$work/fragment" >"$work/log" 2>&1
make -s -C "$source" O="$build" ARCH=i386 olddefconfig >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
grep -q '^CONFIG_X86_LEGACY_VM86=y' "$build/.config" || { say "this source has no virtual-8086 mode"; exit 1; }

say "building the kernel"
make -s -C "$source" O="$build" ARCH=i386 -j"$jobs" bzImage >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    say "the kernel does not build"
    exit 1
}

say "building the selftests"
mkdir -p "$work/selftests"
make -s -C "$source/tools/testing/selftests/x86" ARCH=i386 CC="gcc -static" OUTPUT="$work/selftests" \
    CAN_BUILD_I386=1 CAN_BUILD_X86_64=0 all_32 >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    say "the selftests do not build"
    exit 1
}

mkdir -p "$dest/selftests"
for program in "$work"/selftests/*_32; do
    name=$(basename "$program")
    strip -o "$dest/selftests/${name%_32}" "$program"
done
cp "$build/.config" "$dest/config"
cp "$build/arch/x86/boot/bzImage" "$dest/bzImage.part"
mv "$dest/bzImage.part" "$dest/bzImage"
say "$dest/bzImage and $dest/selftests are ready"
