/* A USB device of the host's under random packets, resets, unplugging and loads, whatever its other side says: answers
 * of any status and length, endpoints of any kind, devices that come and go at any moment. Nothing may end the process,
 * and no slot may have two orders.
 *
 * usage: usb_host_storm [--ops N] [--seed S] [--process [--lives]]
 *
 * --process: the other side is real: src/host/usb/ with its processes, and the stand-in for libusb (LD_LIBRARY_PATH)
 * that does everything at random, and dies now and then; --lives: it does not, so no process may end, and each device
 * that was opened is closed. Once in a build with -Db_sanitize=address,undefined.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chance.h"
#include "devthread.h"
#include "host/usb/usb.h"
#include "lock.h"
#include "log.h"
#include "tests/unit/fake_usbhost.h"
#include "tests/usbhost/fake.h"

static const struct host_config config = {.vendor = 0x1209, .guest_reset = true, .guest_resets_all = true};
static struct usb_device *dev;
static bool is_process, lives;
static struct fake_bus *bus;
static uint64_t results[USB_ASYNC + 1];

static void device_make(void)
{
    GError *error = NULL;
    dev = host_board_make(&config, is_process ? usb_host_service() : NULL, (uint8_t)(2 + below(6)), &error);
    if (!dev) {
        fprintf(stderr, "usb_host_storm: %s\n", error->message);
        exit(1);
    }
}

static void about_fill(struct usbhost_about *about)
{
    for (size_t i = 0; i < sizeof(*about); i++)
        ((uint8_t *)about)[i] = (uint8_t)rnd();
    if (below(4) == 0)
        return;
    about->speed = (uint8_t)below(4);
    about->can_slow = below(2) ? 1u << USB_FULL : 0;
    for (unsigned slot = 0; slot < USBHOST_SLOTS; slot++)
        about->endpoint[slot] = (struct usbhost_endpoint){1, (uint8_t)(2 + below(2)), (uint16_t)(8u << below(8))};
}

/* --- The other side, when it is not a process --- */

static bool is_here; /* a session */

static void real_does(void)
{
    unsigned slot = below(USBHOST_SLOTS);
    switch (below(40)) {
    case 0:
        if (is_here) {
            is_here = false;
            real.busy = 0;
            real.front->went(real.opaque);
        }
        break;
    case 1:
    case 2:
        about_fill(&real.about);
        if (!is_here) {
            is_here = true;
            real.busy = 0;
            real.front->came(real.opaque, &real.about);
        }
        break;
    default:
        if (slot == 0 && below(4) == 0)
            about_fill(&real.about);
        if (real.busy & 1u << slot && is_here)
            real_answer(slot, (enum usbhost_status)below(USBHOST_STATUSES),
                        real.order[slot].len ? below(real.order[slot].len + 1) : 0);
    }
}

static void process_does(void)
{
    machine_unlock();
    for (unsigned i = 0; i < 4; i++)
        g_main_context_iteration(devthread_context(), FALSE);
    switch (below(4000)) {
    case 0:
        bus->present &= ~1u;
        break;
    case 1:
    case 2:
        atomic_fetch_add(&bus->plugged[0], 1);
        bus->present |= 1;
        break;
    case 3:
        bus->wrong = below(10) == 0 && !lives ? FAKE_DIES : below(3) ? FAKE_CHAOS : 0;
        break;
    default:
        if (below(16) == 0)
            g_usleep(100);
    }
    if (!usb_is_present(dev)) { /* it looks twice a second */
        g_usleep(5000);
        if (below(16) == 0) {
            atomic_fetch_add(&bus->plugged[0], 1);
            bus->present |= 1;
        }
    }
    machine_lock();
}

/* --- The guest's side --- */

static void packet_send(void)
{
    static const uint8_t pids[] = {USB_IN, USB_OUT, USB_SETUP};
    uint32_t len = below(3) ? MIN(8u << below(8), 1024) : below(4097);
    uint8_t *own = g_malloc(len ? len : 1); /* of its size, so that a byte too many is seen */
    struct usb_packet packet = {.pid = pids[below(8) ? below(2) : below(3)],
                                .endpoint = (uint8_t)(below(4) ? below(4) : below(16)),
                                .is_isochronous = below(64) == 0,
                                .buffer = own,
                                .len = len,
                                .more = below(3)   ? 0
                                        : below(4) ? below(70000)
                                                   : rnd()};
    for (uint32_t i = 0; i < len; i += 1 + below(16))
        own[i] = (uint8_t)rnd();
    if (packet.pid == USB_SETUP && below(8)) {
        static const uint16_t known[] = {0x8006, 0x0009, 0x010b, 0x0201, 0x0005, 0x8008, 0x2109};
        uint16_t request = known[below(G_N_ELEMENTS(known))];
        packet.endpoint = 0;
        packet.len = MIN(len, 8);
        if (len >= 8) {
            own[0] = (uint8_t)(request >> 8);
            own[1] = (uint8_t)request;
            own[7] = below(4) ? 0 : own[7];
        }
    }
    enum usb_result result = dev->ops->packet(dev, &packet);
    g_assert_cmpint(result, <, USB_ASYNC);
    if (result == USB_ACK)
        g_assert_cmpuint(packet.actual, <=, packet.len);
    results[result]++;
    g_free(own);
}

static void operation(void)
{
    /* Its process may have died. */
    bool is_lost = is_process && !usb_is_present(dev) && below(100) == 0;
    switch (is_lost ? 2 : below(2000)) {
    case 0:
        dev->ops->reset(dev);
        break;
    case 1:
        usb_host_class.before_load(dev);
        break;
    case 2:
        if (is_process && !is_lost && below(20))
            break;
        usb_host_class.unplug(dev);
        usb_host_class.destroy(dev);
        is_here = false;
        memset(&real, 0, sizeof(real));
        device_make();
        break;
    case 3: {
        GString *out = g_string_new(NULL);
        usb_host_class.dump(dev, out);
        g_string_free(out, TRUE);
        break;
    }
    default:
        if (usb_is_present(dev))
            packet_send();
        if (is_process)
            process_does();
        else if (below(2))
            real_does();
    }
}

static bool process_start_all(void)
{
    char path[] = "/tmp/ringer-usb-storm-XXXXXX";
    GError *error = NULL;
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, sizeof(*bus)) < 0)
        return false;
    bus = mmap(NULL, sizeof(*bus), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    setenv(FAKE_ENV, path, 1);
    bus->seed = rnd();
    bus->present = 1;
    bus->wrong = FAKE_CHAOS;
    if (bus == MAP_FAILED || !usb_host_start(&error))
        return false;
    /* The library opens it when it is loaded: until the end. */
    return true;
}

int main(int argc, char **argv)
{
    uint64_t ops = 200000, seed = (uint64_t)g_get_monotonic_time();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ops") == 0 && i + 1 < argc)
            ops = g_ascii_strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = g_ascii_strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--process") == 0)
            is_process = true;
        else if (strcmp(argv[i], "--lives") == 0)
            lives = true;
    }
    printf("usb_host_storm: %s%s --ops %" G_GUINT64_FORMAT " --seed %" G_GUINT64_FORMAT "\n", argv[0],
           is_process ? " --process" : "", ops, seed);
    fflush(stdout);
    seed_state = seed;
    if (is_process && !process_start_all()) {
        fprintf(stderr, "usb_host_storm: no processes\n");
        return 1;
    }
    machine_lock();
    device_make();
    for (uint64_t i = 0; i < ops; i++)
        operation();
    usb_host_class.unplug(dev);
    usb_host_class.destroy(dev);
    machine_unlock();
    if (is_process) {
        usb_host_stop();
        unlink(getenv(FAKE_ENV));
        printf("%u transfers, %u opened, %u closed\n", bus->transfers, bus->opened, bus->closed);
    }
    if (lives && bus->opened != bus->closed)
        return 1;
    printf("ack %" G_GUINT64_FORMAT ", nak %" G_GUINT64_FORMAT ", stall %" G_GUINT64_FORMAT
           ", babble %" G_GUINT64_FORMAT ", none %" G_GUINT64_FORMAT "\n",
           results[USB_ACK], results[USB_NAK], results[USB_STALL], results[USB_BABBLE], results[USB_NONE]);
    /* All of it was reached. */
    return results[USB_ACK] && results[USB_NAK] && results[USB_STALL] && results[USB_NONE] ? 0 : 1;
}
