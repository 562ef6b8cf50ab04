/* A driver for tests of what hangs on a UHCI: a board with the controller and devices, a schedule in guest memory, and
 * requests on it. */
#pragma once

#include "board.h"
#include "input.h"
#include "mem.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_function.h"

#define USB_RAM  (4 * MiB)
#define USB_IO   0xc000
#define FRAMES   0x10000u /* the frame list */
#define QH_AT    0x20000u
#define TDS      0x21000u
#define BUFFERS  0x30000u
#define USB_SLOT PCI_DEVFN(3, 0)

#define USB_TD(n)     (TDS + 16u * (n))
#define USB_BUFFER(n) (BUFFERS + 0x1000u * (n))

#define LINK_END     1u
#define LINK_QH      2u
#define LINK_DEPTH   4u
#define STATUS_ON    (1u << 23)
#define STATUS_IOC   (1u << 24)
#define STATUS_3     (3u << 27)
#define STATUS_SPD   (1u << 29)
#define STATUS_NAK   (1u << 19)
#define STATUS_STALL (1u << 22)
#define STATUS_CRC   (1u << 18)
#define STATUS_BABB  (1u << 20)

#define DEVICES_MAX 12

static struct {
    struct board board; /* first */
    struct pci_bus *pci;
    struct wire irq;
    struct uhci *uhci;
    struct usb_bus *bus;
    struct input_sink *input;
    const struct device_class *class[DEVICES_MAX];
    void *device[DEVICES_MAX];
    unsigned devices;
} usb;

/* As nothing given: no port; the input devices' usb_version. */
static struct {
    struct usb_options usb;
    uint8_t usb_version;
    char rest[240];
} usb_config;

extern const struct device_class uhci_class;

static inline void *usb_service(struct board *board, const char *name)
{
    return strcmp(name, "pci") == 0 ? (void *)usb.pci : strcmp(name, "usb") == 0 ? (void *)usb.bus : usb.input;
}

static inline void usb_provide(struct board *board, const char *name, void *what)
{
    if (strcmp(name, "usb") == 0)
        usb.bus = what;
    else
        usb.input = what;
}

static inline struct irq usb_wire(struct board *board, const char *name)
{
    return (struct irq){0};
}

static inline void usb_free(void)
{
    while (usb.devices > 0) {
        usb.devices--;
        usb.class[usb.devices]->destroy(usb.device[usb.devices]);
    }
    if (usb.uhci)
        uhci_class.destroy(usb.uhci);
    if (usb.pci)
        pci_bus_free(usb.pci);
    usb.uhci = NULL;
    usb.pci = NULL;
    usb.bus = NULL;
    usb.input = NULL;
}

static inline void *usb_add(const struct device_class *class)
{
    GError *error = NULL;
    usb_config.usb_version = 2;
    const struct device_site site = {.board = &usb.board, .id = "dev/0", .controller = usb.bus};
    void *dev = class->create(&site, &usb_config, &error);
    g_assert_no_error(error);
    usb.class[usb.devices] = class;
    return usb.device[usb.devices++] = dev;
}

static inline uint16_t uw(unsigned offset)
{
    return (uint16_t)ioport_read((uint16_t)(USB_IO + offset), 2);
}

static inline void uw_set(unsigned offset, uint16_t value)
{
    ioport_write((uint16_t)(USB_IO + offset), 2, value);
}

static inline uint32_t *word(uint32_t at)
{
    return (uint32_t *)(void *)(guest_mem.ram + at);
}

static inline void put_td(unsigned n, uint32_t link, uint32_t status, uint32_t pid, unsigned address, unsigned endpoint,
                          unsigned len, unsigned buffer)
{
    uint32_t *td = word(USB_TD(n));
    td[0] = link;
    td[1] = status;
    td[2] = pid | address << 8 | endpoint << 15 | ((len - 1) & 0x7ff) << 21;
    td[3] = USB_BUFFER(buffer);
}

static inline uint32_t td_status(unsigned n)
{
    return word(USB_TD(n))[1];
}

static inline unsigned td_actual(unsigned n)
{
    return (td_status(n) + 1) & 0x7ff;
}

static inline void put_qh(uint32_t at, uint32_t head, uint32_t element)
{
    word(at)[0] = head;
    word(at)[1] = element;
}

static inline void all_frames(uint32_t link)
{
    for (unsigned i = 0; i < 1024; i++)
        word(FRAMES)[i] = link;
}

static inline void frames_pass(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        vclock_fake_advance(MS);
}

/* The port is reset and enabled, as drivers do. */
static inline void port_start(unsigned port)
{
    uw_set(PORTSC1 + 2 * port, PORT_PR);
    vclock_fake_advance(10 * MS);
    uw_set(PORTSC1 + 2 * port, 0);
    uw_set(PORTSC1 + 2 * port, PORT_PE | PORT_CSC | PORT_PEC);
}

/* A controller in slot 3, which runs an empty schedule. */
static inline void usb_setup_bare(void)
{
    static const struct board_ops ops = {.wire = usb_wire, .service = usb_service, .provide = usb_provide};
    GError *error = NULL;
    struct irq pirq[PCI_PIRQS];
    usb_free();
    ioport_clear();
    vclock_fake_start();
    if (!guest_mem.ram)
        g_assert_true(mem_init(USB_RAM, &error));
    memset(guest_mem.ram, 0, USB_RAM);
    usb.irq = (struct wire){0};
    usb.board.ops = &ops;
    usb.pci = pci_bus_new();
    for (unsigned i = 0; i < PCI_PIRQS; i++)
        pirq[i] = wire_irq(&usb.irq);
    pci_bus_set_router(usb.pci, pirq);
    const struct device_site site = {.board = &usb.board, .id = "uhci", .unit = USB_SLOT};
    usb.uhci = uhci_class.create(&site, NULL, &error);
    g_assert_no_error(error);
    pci_config_write(usb.pci, USB_SLOT, PCI_BAR0 + 16, 4, USB_IO);
    pci_config_write(usb.pci, USB_SLOT, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    all_frames(LINK_END);
}

static inline void usb_start(void)
{
    ioport_write(USB_IO + FLBASEADD, 4, FRAMES);
    uw_set(USBCMD, CMD_RS);
    vclock_fake_advance(0);
}

static inline void usb_setup(const struct device_class *class)
{
    usb_setup_bare();
    if (class)
        usb_add(class);
    usb_start();
    port_start(0);
}

/* --- Requests: 8 bytes a packet, in a queue at QH_AT that every frame has --- */

#define STALLED (-1)

/* What came, or how much went; STALLED. data of IN lands in guest memory, which this points to. */
static inline int control(unsigned address, uint8_t type, uint8_t request, uint16_t value, uint16_t index,
                          uint16_t length, const void *out)
{
    bool in = type & 0x80;
    unsigned n = 1, count = (length + 7u) / 8;
    uint8_t setup[8] = {type,
                        request,
                        (uint8_t)value,
                        (uint8_t)(value >> 8),
                        (uint8_t)index,
                        (uint8_t)(index >> 8),
                        (uint8_t)length,
                        (uint8_t)(length >> 8)};
    memcpy(guest_mem.ram + USB_BUFFER(0), setup, 8);
    if (out)
        memcpy(guest_mem.ram + USB_BUFFER(1), out, length);
    put_td(0, USB_TD(1) | LINK_DEPTH, STATUS_ON | STATUS_3, USB_SETUP, address, 0, 8, 0);
    for (; n <= count; n++) {
        put_td(n, USB_TD(n + 1) | LINK_DEPTH, STATUS_ON | STATUS_3 | STATUS_SPD, in ? USB_IN : USB_OUT, address, 0,
               MIN(8u, length - 8 * (n - 1)), 1);
        word(USB_TD(n))[3] += 8 * (n - 1);
    }
    put_td(n, LINK_END, STATUS_ON | STATUS_3, in && length ? USB_OUT : USB_IN, address, 0, 0, 2);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    uint32_t was = word(FRAMES)[0];
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    int moved = 0;
    for (unsigned i = 1; i < n; i++) {
        if (td_status(i) & STATUS_STALL)
            moved = STALLED;
        if (moved == STALLED || (td_status(i) & STATUS_ON))
            break;
        moved += (int)td_actual(i);
        if (td_actual(i) < MIN(8u, length - 8 * (i - 1))) { /* short: the status stage is the driver's to ask for */
            put_qh(QH_AT, LINK_END, USB_TD(n));
            frames_pass(40);
            break;
        }
    }
    if (moved != STALLED) {
        if (td_status(n) & STATUS_STALL)
            moved = STALLED;
        else
            g_assert_false(td_status(n) & STATUS_ON);
    }
    all_frames(was);
    frames_pass(1);
    return moved;
}

static inline const uint8_t *control_data(void)
{
    return guest_mem.ram + USB_BUFFER(1);
}

/* From address 0 to a configured device. */
static inline void enumerate(unsigned address)
{
    g_assert_cmpint(control(0, 0x80, 6, 0x0100, 0, 18, NULL), ==, 18);
    g_assert_cmpint(control(0, 0, 5, (uint16_t)address, 0, 0, NULL), ==, 0);
    g_assert_cmpint(control(address, 0, 9, 1, 0, 0, NULL), ==, 0);
}

/* One TD of IN at endpoint 1, in a queue of every frame. */
static inline void poll_put(unsigned address, unsigned len, uint32_t flags)
{
    put_td(32, LINK_END, STATUS_ON | STATUS_3 | flags, USB_IN, address, 1, len, 8);
    put_qh(QH_AT + 0x20, LINK_END, USB_TD(32));
    all_frames((QH_AT + 0x20) | LINK_QH);
}

static inline bool poll_is_done(void)
{
    return !(td_status(32) & STATUS_ON);
}

static inline const uint8_t *poll_data(void)
{
    return guest_mem.ram + USB_BUFFER(8);
}
