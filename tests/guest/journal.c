/* A guest that writes numbered records to its first IDE disk and flushes now and then; it never ends.
 *
 * Record n goes to slot (n * 2654435761 >> 16) mod SLOTS, eight sectors, each with n and its own place in it.
 * "F n" on the debug console: everything up to record n is written and FLUSH CACHE has ended.
 * Arguments: start=N, the first number; pio, dma or both. ../boot/powercut.py pulls the plug.
 */
#include "guest.h"

#define SLOTS   1024u
#define SECTORS 8u

#define BASE 0x1f0
#define BSY  0x80
#define DRQ  0x08
#define ERR  0x01

static uint32_t record[SECTORS * 128] __attribute__((aligned(4096)));
static uint32_t descriptor[2] __attribute__((aligned(8)));
static uint16_t bus_master;

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void outsw(uint16_t port, const void *from, uint32_t count)
{
    __asm__ volatile("cld; rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static uint32_t pci_read(uint8_t devfn, uint8_t reg)
{
    outl(0xcf8, 0x80000000u | (uint32_t)devfn << 8 | reg);
    return inl(0xcfc);
}

static void wait_ready(void)
{
    uint8_t status;
    do
        status = inb(BASE + 7);
    while (status & BSY);
    if (status & ERR) {
        print("disk error %x\n", inb(BASE + 1));
        guest_exit(1);
    }
}

static void command(uint8_t code, uint32_t lba)
{
    wait_ready();
    outb(BASE + 2, SECTORS);
    outb(BASE + 3, (uint8_t)lba);
    outb(BASE + 4, (uint8_t)(lba >> 8));
    outb(BASE + 5, (uint8_t)(lba >> 16));
    outb(BASE + 6, 0xe0 | (uint8_t)(lba >> 24));
    outb(BASE + 7, code);
}

static void write_pio(uint32_t lba)
{
    command(0x30, lba);
    for (unsigned i = 0; i < SECTORS; i++) {
        wait_ready();
        while (!(inb(BASE + 7) & DRQ))
            ;
        outsw(BASE, record + 128 * i, 256);
    }
    wait_ready();
}

static void write_dma(uint32_t lba)
{
    descriptor[0] = (uint32_t)record;
    descriptor[1] = 0x80000000u | sizeof(record);
    outl(bus_master + 4, (uint32_t)descriptor);
    outb(bus_master + 2, 0x06); /* clears what was */
    command(0xca, lba);
    outb(bus_master, 0x01);
    while (!(inb(bus_master + 2) & 0x04))
        ;
    outb(bus_master, 0x00);
    wait_ready();
}

static uint32_t argument(const char *name)
{
    for (const char *at = guest_cmdline; *at; at++) {
        size_t len = strlen(name);
        if (strlen(at) > len && memcmp(at, name, len) == 0) {
            uint32_t value = 0;
            for (at += len; *at >= '0' && *at <= '9'; at++)
                value = value * 10 + (uint32_t)(*at - '0');
            return value;
        }
    }
    return 1;
}

void guest_main(void)
{
    bool pio = string_has(guest_cmdline, "pio") || string_has(guest_cmdline, "both");
    bool dma = string_has(guest_cmdline, "dma") || string_has(guest_cmdline, "both");
    uint32_t number = argument("start=");

    bus_master = (uint16_t)(pci_read(0x09, 0x20) & 0xfffc);
    /* All is polled. The drive may interrupt: the bus master shows its end no other way; the PIC is masked. */
    outb(0x3f6, 0x00);
    for (;; number++) {
        uint32_t slot = (number * 2654435761u >> 16) % SLOTS;
        for (unsigned i = 0; i < SECTORS * 128; i++)
            record[i] = number * 40503u + i;
        for (unsigned i = 0; i < SECTORS; i++) {
            record[128 * i] = number;
            record[128 * i + 1] = i;
        }
        if (dma && (!pio || (number & 1)))
            write_dma(slot * SECTORS);
        else
            write_pio(slot * SECTORS);
        if (rnd() % 5 == 0) {
            command(0xe7, 0);
            wait_ready();
            print("F %u\n", number);
        }
    }
}
