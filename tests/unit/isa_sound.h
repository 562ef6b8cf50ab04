/* Just enough of a board for one ISA sound card: RAM, DMA controllers, interrupt lines; what is played is in a file. */
#pragma once

#include "board.h"
#include "devices/dma8237.h"
#include "mem.h"
#include "wav_file.h"

struct isa_board {
    struct board board; /* first */
    struct dma8237 *dma;
    struct wire irq[16];
    void (*bus_hook)(void *opaque);
    void *bus_opaque;
    bool bus_asked;
    void *opl;
    const struct device_class *class;
    void *dev;
};

static struct isa_board isa;

static inline void *isa_service(struct board *board, const char *name)
{
    return strcmp(name, "dma8237") == 0 ? (void *)isa.dma : strcmp(name, "opl3") == 0 ? isa.opl : NULL;
}

static inline void isa_provide(struct board *board, const char *name, void *service)
{
    if (strcmp(name, "opl3") == 0)
        isa.opl = service;
}

static inline struct irq isa_irq(struct board *board, unsigned line)
{
    return wire_irq(&isa.irq[line]);
}

static inline void isa_bus_ask(void *opaque, int line, bool level)
{
    isa.bus_asked |= level;
}

static inline struct irq isa_wire(struct board *board, const char *name)
{
    return (struct irq){isa_bus_ask, NULL, 0};
}

static inline void isa_bus_hook(struct board *board, void (*hook)(void *opaque), void *opaque)
{
    isa.bus_hook = hook;
    isa.bus_opaque = opaque;
}

static inline void isa_remove(void)
{
    if (isa.dev)
        isa.class->destroy(isa.dev);
    if (isa.dma)
        dma8237_free(isa.dma);
    memset(&isa, 0, sizeof(isa));
}

static inline void isa_begin(const struct device_class *class, const void *config)
{
    static const struct board_ops ops = {.wire = isa_wire,
                                         .service = isa_service,
                                         .provide = isa_provide,
                                         .isa_irq = isa_irq,
                                         .add_bus_hook = isa_bus_hook};
    GError *error = NULL;
    isa_remove();
    vclock_fake_start();
    if (!guest_mem.ram)
        g_assert_true(mem_init(4 * MiB, &error));
    isa.board.ops = &ops;
    isa.dma = dma8237_new();
    isa.class = class;
    const struct device_site site = {.board = &isa.board, .id = "card"};
    isa.dev = class->create(&site, config, &error);
    g_assert_no_error(error);
    memset(isa.irq, 0, sizeof(isa.irq));
}

/* Time passes; memory is written where it may be. */
static inline void isa_advance(int64_t ns)
{
    for (int64_t end = vclock_now() + ns; vclock_now() < end;) {
        int64_t due = vclock_fake_first_due();
        vclock_fake_advance(MIN(MAX(due, vclock_now() + 1), end) - vclock_now());
        if (isa.bus_asked && isa.bus_hook) {
            isa.bus_asked = false;
            isa.bus_hook(isa.bus_opaque);
        }
    }
}

/* Channel 0 to 3 bytes, 5 to 7 words: plays from address, again and again if is_auto. */
static inline void dma_program(unsigned channel, uint32_t address, uint32_t bytes, bool is_auto, bool to_memory)
{
    static const uint8_t pages[8] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};
    bool words = channel >= 4;
    uint16_t base = words ? 0xc0 : 0, step = words ? 2 : 1, n = channel & 3;
    uint32_t at = words ? (address >> 1) & 0xffff : address & 0xffff, count = (words ? bytes / 2 : bytes) - 1;
    outb(0xd6, 0xc0);
    outb(0xd4, 0x00);
    outb((uint16_t)(base + 10 * step), 4 | n);
    outb((uint16_t)(base + 12 * step), 0);
    outb((uint16_t)(base + 11 * step), (uint8_t)(0x40 | n | (is_auto ? 0x10 : 0) | (to_memory ? 0x04 : 0x08)));
    outb((uint16_t)(base + 2 * n * step), (uint8_t)at);
    outb((uint16_t)(base + 2 * n * step), (uint8_t)(at >> 8));
    outb((uint16_t)(base + (2 * n + 1) * step), (uint8_t)count);
    outb((uint16_t)(base + (2 * n + 1) * step), (uint8_t)(count >> 8));
    outb(pages[channel], (uint8_t)(address >> 16));
    outb((uint16_t)(base + 10 * step), (uint8_t)n);
}

/* Units that are left, less one. */
static inline uint16_t dma_count(unsigned channel)
{
    uint16_t base = channel >= 4 ? 0xc0 : 0, step = channel >= 4 ? 2 : 1, n = channel & 3;
    outb((uint16_t)(base + 12 * step), 0);
    uint8_t low = inb((uint16_t)(base + (2 * n + 1) * step));
    return (uint16_t)(low | inb((uint16_t)(base + (2 * n + 1) * step)) << 8);
}
