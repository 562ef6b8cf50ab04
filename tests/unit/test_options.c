/* The command line: what is understood, and each sentence for what is not. */
#include <glib.h>
#include <string.h>

#include "cli/options.h"
#include "keyvalue.h"

static bool parse(const char *line, struct options *options, GError **error)
{
    /* The argument strings must outlive *options, as argv does. */
    int argc;
    char **argv;
    char *whole = g_strconcat("ringer ", line, NULL);
    g_assert_true(g_shell_parse_argv(whole, &argc, &argv, NULL));
    g_free(whole);
    return options_parse(argc, argv, options, error);
}

static struct options good(const char *line)
{
    struct options options;
    GError *error = NULL;
    parse(line, &options, &error);
    g_assert_no_error(error);
    return options;
}

static void bad(const char *line, const char *what)
{
    struct options options;
    GError *error = NULL;
    g_assert_false(parse(line, &options, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, what))
        g_error("%s: '%s' does not say '%s'", line, error->message, what);
    g_assert_null(strchr(error->message, '\n'));
    g_error_free(error);
}

static void test_defaults(void)
{
    struct options options = good("-kernel k");
    g_assert_cmpuint(options.ram_size, ==, 128 * MiB);
    g_assert_cmpstr(options.kernel, ==, "k");
    g_assert_null(options.serial[0]);
    g_assert_false(options.no_reboot);
    g_assert_cmpstr(options.vga, ==, "VGA");
}

static void test_memory_forms(void)
{
    g_assert_cmpuint(good("-kernel k -m 256").ram_size, ==, 256 * MiB);
    g_assert_cmpuint(good("-kernel k -m 1G").ram_size, ==, GiB);
    g_assert_cmpuint(good("-kernel k -m 1g").ram_size, ==, GiB);
    g_assert_cmpuint(good("-kernel k -m 512M").ram_size, ==, 512 * MiB);
    g_assert_cmpuint(good("-kernel k -m size=2048K").ram_size, ==, 2 * MiB);
    g_assert_cmpuint(good("-kernel k -m 3072").ram_size, ==, 3 * GiB);
    g_assert_cmpuint(good("-kernel k -m 3073").ram_size, ==, 3073 * MiB);
    g_assert_cmpuint(good("-kernel k -m 16G").ram_size, ==, 16 * GiB);
    g_assert_cmpuint(good("-kernel k -m 17G").ram_size, ==, 16 * GiB); /* says so */
    g_assert_cmpuint(good("-kernel k -m size=1M,slots=2,maxmem=4G").ram_size, ==, MiB);
}

static void test_memory_errors(void)
{
    bad("-kernel k -m 0", "out of range");
    bad("-kernel k -m 99999999999999999999", "not a size");
    bad("-kernel k -m -5", "not a size");
    bad("-kernel k -m 12x", "not a size");
    bad("-kernel k -m ''", "not a size");
    bad("-kernel k -m size=", "not a size");
    bad("-kernel k -m 64,colour=3", "'colour'");
    bad("-kernel k -m", "needs an argument");
}

static void test_unknown_flag_names_the_nearest(void)
{
    bad("-kernle k", "did you mean '-kernel'");
    bad("-nographics", "did you mean '-nographic'");
    bad("-apend x", "did you mean '-append'");
    bad("--no-rebot", "did you mean '-no-reboot'");
    bad("-zzzzzz", "unknown option '-zzzzzz'");
}

static void test_double_dash_is_the_same(void)
{
    g_assert_true(good("--kernel k --no-reboot").no_reboot);
}

static void test_windows(void)
{
    g_assert_true(good("-display sdl").window);
    g_assert_true(good("-display gtk,full-screen=on,gl=off").window_options.full_screen);
    g_assert_true(good("-display cocoa,window-close=off").window_options.no_close);
    g_assert_false(good("-display sdl -display none").window);
    g_assert_true(good("-hda x").display_is_open);
    g_assert_false(good("-hda x -nographic").display_is_open);
    g_assert_false(good("-hda x -curses").display_is_open);
    g_assert_false(good("-hda x -vga none").display_is_open);
}

static void test_missing_devices_are_refused(void)
{
    bad("-vga voodoo", "no 'voodoo' card");
    struct options vnc = good("-display vnc=127.0.0.1:3,websocket=on,share=ignore");
    g_assert_true(vnc.vnc && !vnc.window && !vnc.display_is_open);
    g_assert_cmpstr(vnc.vnc_options.address.port, ==, "5903");
    g_assert_cmpstr(vnc.vnc_options.websocket.port, ==, "5703");
    g_assert_cmpint(vnc.vnc_options.share, ==, VNC_IGNORE);
    vnc = good("-vnc [::1]:99,websocket=6000,to=200");
    g_assert_cmpstr(vnc.vnc_options.address.host, ==, "::1");
    g_assert_cmpstr(vnc.vnc_options.websocket.port, ==, "6000");
    g_assert_cmpuint(vnc.vnc_options.address.to, ==, 6100);
    g_assert_cmpint(good("-vnc localhost:5500,reverse=on").vnc_options.address.order, ==, ADDRESS_CONNECT);
    g_assert_false(good("-vnc :1 -vnc none").vnc);
    struct window_options window = good("-display sdl,scaling=free,show-menubar=off").window_options;
    g_assert_true(window.no_bar && window.scaling == WINDOW_FREE);
    bad("-display sdl,scaling=large", "proportional, integer or free");
    bad("-display sdl,gl=on,pigeon=1", "Invalid parameter 'pigeon'");
    bad("-display sdl,full-screen=maybe", "'maybe' is not on or off");
    bad("-display sdl -daemonize", "cannot be used with -daemonize");
    bad("-display none2", "not known");
    good("-kernel k -net none -nic none -vga none -monitor none -display none -nodefaults");
}

static const char *item(GPtrArray *list, unsigned i, const char *key)
{
    g_assert_nonnull(list);
    g_assert_cmpuint(i, <, list->len);
    return keyvalues_get(g_ptr_array_index(list, i), key);
}

/* -virtfs is a -fsdev and its device. */
static void test_folders(void)
{
    struct options options = good("-virtfs local,path=/p,mount_tag=t,security_model=none,readonly=on "
                                  "-virtfs local,path=/q,mount_tag=u,id=i -fsdev local,id=x,path=/r");
    g_assert_cmpstr(item(options.fsdevs, 0, "id"), ==, "t");
    g_assert_cmpstr(item(options.fsdevs, 0, "path"), ==, "/p");
    g_assert_cmpstr(item(options.fsdevs, 0, "readonly"), ==, "on");
    g_assert_null(item(options.fsdevs, 0, "mount_tag"));
    g_assert_cmpstr(item(options.fsdevs, 1, "id"), ==, "i");
    g_assert_cmpstr(item(options.fsdevs, 2, "fsdriver"), ==, "local");
    g_assert_cmpstr(item(options.devices, 0, "driver"), ==, "virtio-9p-pci");
    g_assert_cmpstr(item(options.devices, 1, "fsdev"), ==, "i");
    g_assert_cmpstr(item(options.devices, 1, "mount_tag"), ==, "u");
    g_assert_cmpuint(options.devices->len, ==, 2);
    bad("-virtfs local,path=/p", "mount_tag= is needed");
}

/* -audio is a -audiodev and its device; -soundhw a device by its old name. */
static void test_sound(void)
{
    struct options options =
        good("-audio wav,path=/w,out.frequency=48000,model=es1370 "
             "-audiodev '{\"driver\":\"none\",\"id\":\"n\",\"out\":{\"channels\":1}}' -soundhw es1370,pcspk "
             "-device ES1370,audiodev=n");
    g_assert_cmpstr(item(options.audiodevs, 0, "driver"), ==, "wav");
    g_assert_cmpstr(item(options.audiodevs, 0, "id"), ==, "audiodev0");
    g_assert_cmpstr(item(options.audiodevs, 0, "path"), ==, "/w");
    g_assert_cmpstr(item(options.audiodevs, 0, "out.frequency"), ==, "48000");
    g_assert_null(item(options.audiodevs, 0, "model"));
    g_assert_cmpstr(item(options.audiodevs, 1, "id"), ==, "n");
    g_assert_cmpstr(item(options.audiodevs, 1, "out.channels"), ==, "1");
    g_assert_cmpuint(options.devices->len, ==, 3);
    g_assert_cmpstr(item(options.devices, 0, "driver"), ==, "ES1370");
    g_assert_cmpstr(item(options.devices, 0, "audiodev"), ==, "audiodev0");
    g_assert_cmpstr(item(options.devices, 1, "audiodev"), ==, "audiodev0"); /* the first */
    g_assert_cmpstr(item(options.devices, 2, "audiodev"), ==, "n");
    g_assert_cmpstr(options.speaker_audiodev, ==, "audiodev0");
    options = good("-audiodev none,id=a -machine pc,pcspk-audiodev=b -soundhw pcspk");
    g_assert_cmpstr(options.speaker_audiodev, ==, "b");
    g_assert_null(good("-audiodev none,id=a").speaker_audiodev); /* nobody has asked for it */
    g_assert_cmpstr(good("-audio none,id=a,model=pcspk").speaker_audiodev, ==, "a");
    g_assert_false(options.default_audiodev);
    options = good("-soundhw es1370,pcspk"); /* what that is the board finds out */
    g_assert_cmpstr(item(options.devices, 0, "audiodev"), ==, OPTIONS_DEFAULT_AUDIODEV);
    g_assert_cmpstr(options.speaker_audiodev, ==, OPTIONS_DEFAULT_AUDIODEV);
    g_assert_null(options.audiodevs);
    g_assert_true(options.default_audiodev);
    g_assert_true(good("-device es1370").default_audiodev);
    g_assert_false(good("-device es1370,audiodev=x").default_audiodev);
    g_assert_false(good("-device e1000").default_audiodev);
    g_assert_cmpint(good("-audiodev help").action, ==, OPTIONS_AUDIODEV_HELP);
    g_assert_cmpint(good("-audio help").action, ==, OPTIONS_AUDIODEV_HELP);
    g_assert_cmpint(good("-audio none,model=help").action, ==, OPTIONS_SOUND_HELP);
    g_assert_cmpint(good("-soundhw help").action, ==, OPTIONS_SOUND_HELP);
    bad("-soundhw es1371", "there is no 'es1371'");
    bad("-audio none,model=x", "there is no 'x'");
}

static void test_display_and_monitor(void)
{
    g_assert_cmpstr(good("").vga, ==, "VGA");
    g_assert_null(good("-vga none").vga);
    g_assert_cmpstr(good("-vga std").vga, ==, "VGA");
    g_assert_cmpstr(good("-vga cirrus").vga, ==, "cirrus-vga");
    g_assert_cmpstr(good("-vga vmware").vga, ==, "vmware-svga");
    g_assert_cmpstr(good("-vga virtio").vga, ==, "virtio-vga");
    g_assert_cmpstr(good("-vga qxl").vga, ==, "VGA");
    g_assert_null(good("-device cirrus-vga").vga);
    g_assert_null(good("-device vmware-svga").vga);
    g_assert_null(good("-device virtio-gpu-pci").vga);
    g_assert_null(good("-nodefaults").vga);
    g_assert_cmpstr(good("-vga std -nodefaults").vga, ==, "VGA");
    g_assert_null(good("-device VGA").vga);
    g_assert_true(good("-display curses").curses);
    g_assert_true(good("-curses").curses);
    g_assert_false(good("-display none").curses);
    struct options options = good("-monitor stdio -qmp unix:q,server=on,wait=off -mon c0,mode=control,pretty=on -s");
    g_assert_cmpstr(item(options.monitors, 0, "device"), ==, "stdio");
    g_assert_cmpstr(item(options.monitors, 0, "mode"), ==, "readline");
    g_assert_cmpstr(item(options.monitors, 0, "label"), ==, "compat_monitor0");
    g_assert_cmpstr(item(options.monitors, 1, "device"), ==, "unix:q,server=on,wait=off");
    g_assert_cmpstr(item(options.monitors, 1, "mode"), ==, "control");
    g_assert_cmpstr(item(options.monitors, 2, "chardev"), ==, "c0");
    g_assert_cmpstr(options.gdb, ==, "tcp::1234");
    g_assert_null(good("-monitor none").monitors);
    bad("-mon mode=control", "chardev=");
    bad("-mon c0,mode=loud", "neither readline nor control");
    bad("-mon c0,colour=red", "colour");
    /* As QEMU: who asks for a monitor elsewhere has the serial port alone on the terminal. */
    g_assert_cmpstr(good("-nographic").serial[0], ==, "mon:stdio");
    g_assert_cmpstr(good("-nographic -monitor none").serial[0], ==, "stdio");
    g_assert_null(good("-nographic -nodefaults").serial[0]);
    bad("-display curses -serial stdio", "stdio is given twice");
    bad("-monitor stdio -serial mon:stdio", "stdio is given twice");
}

static void test_nothing_to_start(void)
{
    bad("-append x", "-append needs -kernel");
    bad("-initrd x", "-initrd needs -kernel");
    bad("-", "is not an option");
}

static void test_engines(void)
{
    g_assert_cmpint(good("-kernel k -accel interp").accel, ==, ACCEL_INTERP);
    g_assert_cmpint(good("-kernel k -machine pc,accel=interp").accel, ==, ACCEL_INTERP);
    enum accel_kind standard = good("-kernel k").accel;
    g_assert_cmpint(good("-kernel k -accel tcg,thread=single").accel, ==, standard);
    g_assert_cmpint(good("-kernel k -accel kvm,fallback=off").accel, ==, ACCEL_KVM);
    enum accel_kind second = vcpu_accel_works(ACCEL_KVM, NULL) ? ACCEL_KVM : standard;
    g_assert_cmpint(good("-kernel k -accel kvm").accel, ==, second);
    g_assert_cmpint(good("-kernel k -machine accel=kvm").accel, ==, second);
    g_assert_cmpint(good("-kernel k -enable-kvm").accel, ==, second);
    g_assert_cmpint(good("-kernel k -machine accel=kvm:tcg").accel, ==, second);
    g_assert_cmpint(good("-kernel k -accel kvm -accel tcg").accel, ==, second);
    g_assert_cmpint(good("-kernel k -accel interp:kvm").accel, ==, ACCEL_INTERP);
    bad("-kernel k -machine accel=kvm:hvf", "there is no engine 'hvf'");
    g_assert_nonnull(strstr(good("-kernel k -enable-kvm").accel_why, "-enable-kvm"));
    bad("-kernel k -accel xen", "there is no engine 'xen'");
    bad("-kernel k -accel tcg,foo=1", "option 'foo'");
}

static void test_machines(void)
{
    good("-kernel k -machine pc,usb=off");
    good("-kernel k -M pc-i440fx-7.2");
    good("-kernel k -machine type=pc");
    g_assert_true(good("-kernel k -machine pc,graphics=off").nographic);
    good("-kernel k -machine q35"); /* says that it is the other chipset */
    g_assert_true(good("-kernel k -machine pc,hpet=off").no_hpet);
    g_assert_true(good("-kernel k -machine pc,acpi=off").no_acpi);
    g_assert_true(good("-kernel k -no-acpi").no_acpi);
    bad("-kernel k -machine microvm", "there is no 'microvm'");
    g_assert_true(good("-kernel k -machine pc,usb=on").usb);
    g_assert_false(good("-kernel k -usb -machine pc,usb=off").usb);
    g_assert_true(good("-kernel k -usb").usb);
    struct options usb = good("-kernel k -usbdevice tablet");
    g_assert_true(usb.usb);
    g_assert_cmpstr(keyvalues_get(g_ptr_array_index(usb.devices, 0), "driver"), ==, "usb-tablet");
    bad("-kernel k -usbdevice braille", "choose tablet");
    bad("-kernel k -machine pc,hpet=perhaps", "on or off");
    bad("-kernel k -machine pc,colour=red", "'colour' is not known");
}

static void test_one_processor(void)
{
    good("-kernel k -smp 1");
    good("-kernel k -smp cpus=1,sockets=1");
    good("-kernel k -smp 2"); /* says that there is one */
    good("-kernel k -smp cores=4,threads=1");
    bad("-kernel k -smp many", "not a number");
    bad("-kernel k -smp 0", "not a number");
    bad("-kernel k -smp colours=2", "'colours' is not known");
}

static void test_serial(void)
{
    struct options options = good("-kernel k -serial none -serial file:x");
    g_assert_null(options.serial[0]);
    g_assert_cmpstr(options.serial[1], ==, "file:x");
    g_assert_cmpstr(good("-kernel k -nographic").serial[0], ==, "mon:stdio");
    g_assert_cmpstr(good("-kernel k -nographic -serial null").serial[0], ==, "null");
    bad("-kernel k -serial null -serial null -serial null -serial null -serial null", "4 serial ports");
    bad("-kernel k -serial stdio -serial mon:stdio", "given twice");
    bad("-kernel k -nographic -debugcon stdio", "given twice");
    bad("-chardev stdio,id=a -serial chardev:a -monitor stdio", "given twice");
    bad("-chardev stdio,id=a -chardev stdio,id=b", "given twice");
    bad("-chardev stdio,id=a,mux=on -daemonize", "cannot use stdio with -daemonize");
    bad("-daemonize -nographic", "-nographic cannot be used with -daemonize");
    bad("-daemonize -curses", "curses display cannot be used with -daemonize");
    g_assert_true(good("-daemonize -display none -serial tcp:localhost:1,server").daemonize);
    g_assert_null(good("-debugcon none").debugcon);
}

static void test_devices(void)
{
    struct options options =
        good("-kernel k -device isa-debug-exit,iobase=0xf4,iosize=0x04 -device '{\"driver\":\"x\"}'");
    g_assert_cmpstr(item(options.devices, 0, "driver"), ==, "isa-debug-exit");
    g_assert_cmpstr(item(options.devices, 0, "iobase"), ==, "0xf4");
    g_assert_cmpstr(item(options.devices, 1, "driver"), ==, "x");
    bad("-device '{\"driver\":'", "this JSON is not understood");
    g_assert_cmpint(good("-device help").action, ==, OPTIONS_DEVICE_HELP);
    g_assert_null(good("-device help").help_about);
    g_assert_cmpstr(good("-device VGA,help").help_about, ==, "VGA");
}

static void test_globals(void)
{
    struct options options = good("-global VGA.romfile=a.b=c -global driver=isa-debugcon,property=iobase,value=1");
    g_assert_cmpstr(item(options.globals, 0, "driver"), ==, "VGA");
    g_assert_cmpstr(item(options.globals, 0, "property"), ==, "romfile");
    g_assert_cmpstr(item(options.globals, 0, "value"), ==, "a.b=c");
    g_assert_cmpstr(item(options.globals, 1, "value"), ==, "1");
    bad("-global VGA", "DRIVER.PROPERTY=VALUE");
    bad("-global VGA=1", "DRIVER.PROPERTY=VALUE");
    bad("-global driver=VGA,value=1", "DRIVER.PROPERTY=VALUE");
}

static void test_chardevs(void)
{
    struct options options = good("-chardev file,id=a,path=x,,y -chardev stdio,id=b,mux=on -chardev null,id=c");
    g_assert_cmpstr(item(options.chardevs, 0, "backend"), ==, "file");
    g_assert_cmpstr(item(options.chardevs, 0, "path"), ==, "x,y");
    g_assert_cmpstr(item(options.chardevs, 1, "mux"), ==, "on");
    g_assert_cmpstr(item(options.chardevs, 2, "id"), ==, "c");
    g_assert_cmpint(good("-chardev help").action, ==, OPTIONS_CHARDEV_HELP);
    options = good("-chardev '{\"backend\":\"socket\",\"id\":\"j\",\"path\":\"s\",\"server\":true}'");
    g_assert_cmpstr(item(options.chardevs, 0, "server"), ==, "on");
}

static void test_passed_files(void)
{
    struct options options = good("-add-fd set=0,fd=8,opaque=serial0-source -add-fd fd=9,set=1");
    g_assert_cmpstr(item(options.add_fds, 0, "opaque"), ==, "serial0-source");
    g_assert_cmpstr(item(options.add_fds, 1, "set"), ==, "1");
    bad("-add-fd fd=3", "set option is required");
    bad("-add-fd set=3", "fd option is required");
    bad("-add-fd set=3,fd=-1", "fd option is required");
    bad("-add-fd set=3,fd=4,colour=red", "Invalid parameter 'colour'");
}

static void test_names_and_messages(void)
{
    struct options options = good("-name guest=a,,b,process=p,debug-threads=on -msg timestamp=on -echr 0x14");
    g_assert_cmpstr(options.name, ==, "a,b");
    g_assert_cmpstr(options.process_name, ==, "p");
    g_assert_true(options.message_timestamps && !options.message_is_named);
    g_assert_cmpint(options.escape, ==, 0x14);
    g_assert_cmpint(good("").escape, ==, -1);
    g_assert_true(good("-msg guest-name=on").message_is_named);
    bad("-name a,procss=x", "Invalid parameter 'procss'");
    bad("-msg time=on", "Invalid parameter 'time'");
    bad("-echr x", "not the number of a character");
    bad("-echr 256", "not the number of a character");
}

static void test_clock(void)
{
    g_assert_true(good("-kernel k -rtc base=localtime").rtc_localtime);
    struct options options = good("-kernel k -rtc base=2006-06-17T16:01:21,clock=vm");
    g_assert_true(options.rtc_base_set);
    g_assert_cmpint(options.rtc_base, ==, 1150560081);
    g_assert_cmpint(good("-kernel k -rtc base=2006-06-17").rtc_base, ==, 1150502400);
    bad("-kernel k -rtc base=tomorrow", "none of utc");
    bad("-kernel k -rtc clock=sun", "'clock=sun'");
    bad("-kernel k -rtc utc", "'utc=on' is not known");
}

static void test_switches(void)
{
    struct options options = good("-kernel k -no-reboot -no-shutdown -S -name n -d int -D f -cpu 486");
    g_assert_true(options.no_reboot && options.no_shutdown && options.start_stopped);
    g_assert_cmpstr(options.name, ==, "n");
    g_assert_cmpstr(options.log_items, ==, "int");
    g_assert_cmpstr(options.log_file, ==, "f");
    g_assert_cmpstr(options.cpu, ==, "486");
}

static void test_help_and_version_win(void)
{
    g_assert_cmpint(good("-h").action, ==, OPTIONS_HELP);
    g_assert_cmpint(good("-help").action, ==, OPTIONS_HELP);
    g_assert_cmpint(good("--help").action, ==, OPTIONS_HELP);
    g_assert_cmpint(good("-version").action, ==, OPTIONS_VERSION);
}

static const char *of(GPtrArray *lists, unsigned i, const char *key)
{
    g_assert_nonnull(lists);
    g_assert_cmpuint(i, <, lists->len);
    return keyvalues_get(g_ptr_array_index(lists, i), key);
}

static void test_network_card_and_back_end_in_one(void)
{
    struct options options = good("-nic user,model=virtio,mac=52:54:00:aa:bb:cc,hostfwd=tcp::2222-:22,bootindex=3");
    g_assert_cmpuint(options.netdevs->len, ==, 1);
    g_assert_cmpuint(options.nics->len, ==, 1);
    g_assert_cmpstr(of(options.netdevs, 0, "type"), ==, "user");
    g_assert_cmpstr(of(options.netdevs, 0, "hostfwd"), ==, "tcp::2222-:22");
    g_assert_null(of(options.netdevs, 0, "mac"));
    g_assert_null(of(options.netdevs, 0, "model"));
    g_assert_null(of(options.netdevs, 0, "bootindex"));
    g_assert_cmpstr(of(options.nics, 0, "driver"), ==, "virtio-net-pci");
    g_assert_cmpstr(of(options.nics, 0, "mac"), ==, "52:54:00:aa:bb:cc");
    g_assert_cmpstr(of(options.nics, 0, "bootindex"), ==, "3");
    g_assert_cmpstr(of(options.nics, 0, "netdev"), ==, of(options.netdevs, 0, "id"));
    options = good("-nic tap,id=t0,ifname=x,script=no");
    g_assert_cmpstr(of(options.netdevs, 0, "id"), ==, "t0");
    g_assert_cmpstr(of(options.nics, 0, "netdev"), ==, "t0");
    g_assert_cmpstr(of(options.nics, 0, "driver"), ==, "default");
}

static void test_network_on_hubs(void)
{
    /* One of each is a cable. */
    struct options options = good("-net nic,macaddr=52:54:00:01:02:03 -net user,name=u0");
    g_assert_cmpuint(options.netdevs->len, ==, 1);
    g_assert_cmpstr(of(options.nics, 0, "netdev"), ==, "u0");
    g_assert_cmpstr(of(options.nics, 0, "mac"), ==, "52:54:00:01:02:03");
    /* More are ports of a hub, and another hub is another network. */
    options = good("-net nic -net nic,model=pcnet -net user,name=u0 -net nic,vlan=1 -net user,vlan=1,name=u1");
    g_assert_cmpuint(options.nics->len, ==, 3);
    g_assert_cmpuint(options.netdevs->len, ==, 5);
    g_assert_cmpstr(of(options.nics, 0, "netdev"), ==, "hub0port0");
    g_assert_cmpstr(of(options.nics, 1, "netdev"), ==, "hub0port1");
    g_assert_cmpstr(of(options.nics, 2, "netdev"), ==, "u1");
    g_assert_cmpstr(of(options.netdevs, 4, "type"), ==, "hubport");
    g_assert_cmpstr(of(options.netdevs, 4, "netdev"), ==, "u0");
}

static void test_network_older_words(void)
{
    struct options options =
        good("-net nic -net user -redir udp:5000:10.0.2.20:53 -redir :5001::22 -tftp dir -bootp /x");
    struct keyvalues *user = g_ptr_array_index(options.netdevs, 0);
    const char *forwards[2] = {NULL, NULL};
    unsigned count = 0;
    for (unsigned i = 0; i < user->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(user->item, i);
        if (strcmp(item->key, "hostfwd") == 0 && count < 2)
            forwards[count++] = item->value;
    }
    g_assert_cmpstr(forwards[0], ==, "udp::5000-10.0.2.20:53");
    g_assert_cmpstr(forwards[1], ==, "tcp::5001-:22");
    g_assert_cmpstr(keyvalues_get(user, "tftp"), ==, "dir");
    g_assert_cmpstr(keyvalues_get(user, "bootfile"), ==, "/x");
}

static void test_network_of_who_says_nothing(void)
{
    struct options options = good("-kernel k");
    g_assert_cmpstr(of(options.netdevs, 0, "type"), ==, "user");
    g_assert_cmpstr(of(options.nics, 0, "driver"), ==, "default");
    g_assert_null(good("-kernel k -nic none").nics);
    g_assert_null(good("-kernel k -net none").nics);
    g_assert_null(good("-kernel k -nodefaults").nics);
    g_assert_null(good("-netdev user,id=a").nics); /* who names a back end names its card, too */
}

static void test_network_mistakes(void)
{
    bad("-redir tcp:5000:22", "[tcp|udp]:HOSTPORT:[GUEST]:GUESTPORT");
    bad("-nic none -redir tcp:5000::22", "need a user network");
    bad("-nic none -tftp dir", "need a user network");
    bad("-net nic,vlan=x", "'vlan' is a number, not 'x'");
    bad("-net model=e1000", "neither nic nor a back end");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/defaults", test_defaults);
    g_test_add_func("/options/memory_forms", test_memory_forms);
    g_test_add_func("/options/memory_errors", test_memory_errors);
    g_test_add_func("/options/unknown_flag_names_the_nearest", test_unknown_flag_names_the_nearest);
    g_test_add_func("/options/double_dash_is_the_same", test_double_dash_is_the_same);
    g_test_add_func("/options/missing_devices_are_refused", test_missing_devices_are_refused);
    g_test_add_func("/options/windows", test_windows);
    g_test_add_func("/options/folders", test_folders);
    g_test_add_func("/options/sound", test_sound);
    g_test_add_func("/options/display_and_monitor", test_display_and_monitor);
    g_test_add_func("/options/nothing_to_start", test_nothing_to_start);
    g_test_add_func("/options/engines", test_engines);
    g_test_add_func("/options/machines", test_machines);
    g_test_add_func("/options/one_processor", test_one_processor);
    g_test_add_func("/options/serial", test_serial);
    g_test_add_func("/options/devices", test_devices);
    g_test_add_func("/options/globals", test_globals);
    g_test_add_func("/options/chardevs", test_chardevs);
    g_test_add_func("/options/passed_files", test_passed_files);
    g_test_add_func("/options/names_and_messages", test_names_and_messages);
    g_test_add_func("/options/clock", test_clock);
    g_test_add_func("/options/switches", test_switches);
    g_test_add_func("/options/help_and_version_win", test_help_and_version_win);
    g_test_add_func("/options/network/card_and_back_end_in_one", test_network_card_and_back_end_in_one);
    g_test_add_func("/options/network/on_hubs", test_network_on_hubs);
    g_test_add_func("/options/network/older_words", test_network_older_words);
    g_test_add_func("/options/network/of_who_says_nothing", test_network_of_who_says_nothing);
    g_test_add_func("/options/network/mistakes", test_network_mistakes);
    return g_test_run();
}
