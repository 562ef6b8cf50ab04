/* Network cards under random accesses: registers, descriptors of every kind in rings of every form, frames, cables that
 * are full or pulled, time, resets, states that are loaded after bytes of them were changed. Nothing may end the
 * process, and no access may keep it for long; after a reset a frame still goes out.
 *
 * usage: nic_storm ROUNDS [SEED]; a round is 20,000 steps. The seed is printed; the same one does the same again.
 */
#include "devices/net/e1000.h"
#undef MPC /* both chips have one */
#include "devices/net/rtl8139.h"
#include "tests/unit/nic_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEPS   20000u
#define STUCK_S 20

static uint64_t seed_state;

static uint32_t rnd(void)
{
    seed_state = seed_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed_state >> 32);
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

static uint32_t value(void)
{
    switch (below(6)) {
    case 0:
        return below(4);
    case 1:
        return 1u << below(32);
    case 2:
        return ~0u;
    case 3:
        return below(2048);
    default:
        return rnd();
    }
}

/* Where rings and buffers are: few places, so that they meet. */
static uint32_t place(void)
{
    return below(20) ? 0x10000u + below(16) * 0x1000u : below(2) ? NIC_MMIO + below(64) * 4 : rnd();
}

static void e1000_step(void)
{
    static const uint16_t regs[] = {CTRL,  EECD,  EERD,   MDIC, ICR,  ITR,  ICS,    IMS,      IMC,   RCTL,  TCTL,
                                    RDBAL, RDLEN, RDH,    RDT,  RDTR, RADV, RSRPD,  TDBAL,    TDLEN, TDH,   TDT,
                                    TIDV,  TADV,  RXCSUM, RAH,  MTA,  VFTA, TXDCTL, CTRL_EXT, VET,   GORCL, GPRC};
    switch (below(12)) {
    case 0: /* as drivers do */
        mmio32_set(TDBAL, place());
        mmio32_set(TDBAH, 0);
        mmio32_set(TDLEN, 128u << below(6));
        mmio32_set(TDH, 0);
        mmio32_set(TCTL, TCTL_EN | (below(2) ? TCTL_PSP : 0));
        break;
    case 1:
        mmio32_set(RDBAL, place());
        mmio32_set(RDBAH, 0);
        mmio32_set(RDLEN, 128u << below(4));
        mmio32_set(RDH, below(8));
        mmio32_set(RDT, below(8));
        mmio32_set(RCTL,
                   RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM | (rnd() & (RCTL_BSEX | 3u << RCTL_BSIZE | RCTL_SECRC)));
        break;
    case 2:
    case 3:
        mmio32_set(TDT, below(64));
        break;
    case 4:
        mmio32_set(RDT, below(16));
        break;
    case 5:
        mmio32_set(below(0x8000) & ~3u, value());
        break;
    case 6:
        (void)mmio32(below(0x20000) & ~3u);
        break;
    case 7:
        mmio32_set(MDIC, MDIC_OP_WRITE | 1u << 21 | below(32) << 16 | (value() & 0xffff));
        break;
    default:
        mmio32_set(regs[below(G_N_ELEMENTS(regs))], value());
    }
}

static void rtl_step(void)
{
    switch (below(8)) {
    case 0:
        mmio32_set(TNPDS + below(2) * 8, place());
        mmio32_set(RDSAR, place());
        mmio32_set(RDSAR + 4, 0);
        mmio32_set(RBSTART, place());
        ioport_write(NIC_IO + CPCR, 2, rnd());
        ioport_write(NIC_IO + CR, 1, CR_TE | CR_RE);
        mmio32_set(RCR, value() | RCR_AAP);
        break;
    case 1:
        ioport_write(NIC_IO + TPPOLL, 1, rnd());
        break;
    case 2:
        mmio32_set(TSAD + 4 * below(4), place());
        mmio32_set(TSD + 4 * below(4), below(2000));
        break;
    case 3:
        ioport_write(NIC_IO + CAPR, 2, value());
        break;
    case 4:
        (void)ioport_read((uint16_t)(NIC_IO + below(256)), 1u << below(3));
        break;
    default:
        ioport_write((uint16_t)(NIC_IO + below(256)), 1u << below(3), value());
    }
}

/* A descriptor, or several, of either card's kinds; and packets for them. */
static void write_descriptors(void)
{
    uint32_t at = place() & ~15u;
    for (unsigned n = below(12); n-- && at < NIC_RAM - 16; at += 16) {
        uint32_t len = below(4) ? below(1600) : rnd() & 0xfffff;
        uint32_t e1000[4] = {place(), below(20) ? 0 : rnd(), len | rnd() << 20, value()};
        uint32_t context[4] = {14 | 24u << 8 | 33u << 16, 34 | 50u << 8, (TX_DEXT | TX_TSE | 3) << 24 | below(65536),
                               54u << 8 | below(1500) << 16};
        uint32_t rtl[4] = {(rnd() & 0xff000000u) | (below(2) ? rnd() & 0x7ff0000 : 0) | (len & 0xffff) | CP_OWN,
                           value(), place(), 0};
        uint32_t buffer[4] = {place(), 0, 0, 0};
        const uint32_t *word[] = {e1000, e1000, context, rtl, buffer};
        mem_write(at, word[below(G_N_ELEMENTS(word))], 16);
    }
}

static void write_packet(void)
{
    uint8_t frame[4000];
    size_t len = frame_ip(frame, below(3) ? 4 : 6, below(2) ? IP_TCP : IP_UDP, below(3000));
    for (unsigned i = below(3); i--;)
        frame[below(80)] = (uint8_t)value();
    mem_write(place() & 0xffffff, frame, (uint32_t)len);
}

static void frame_comes(void)
{
    static uint8_t frame[NETDEV_FRAME_MAX];
    size_t len =
        below(4) ? frame_ip(frame, below(3) ? 4 : 6, below(2) ? IP_TCP : IP_UDP, below(1400)) : 14 + below(16000);
    const struct netdev_offload offload = {
        .flags = (uint8_t)below(4), .csum_start = (uint16_t)value(), .csum_offset = (uint16_t)value()};
    for (unsigned i = below(3); i--;)
        frame[below(80)] = (uint8_t)value();
    if (below(2))
        memcpy(frame, "\x52\x54\x00\x12\x34\x56", 6);
    cable.netdev.front->receive(cable.netdev.front_opaque, frame, len, &offload);
}

static void load_damaged(const struct device_class *class)
{
    GByteArray *bytes = device_saved(class, nic);
    for (unsigned i = below(6); i-- && bytes->len;)
        bytes->data[below(bytes->len)] = (uint8_t)value();
    device_load(class, nic, bytes->data, bytes->len);
    g_byte_array_unref(bytes);
}

static void step(const struct device_class *class, bool is_e1000)
{
    unsigned kind = below(100);
    if (kind < 55) {
        if (is_e1000)
            e1000_step();
        else
            rtl_step();
    } else if (kind < 65) {
        write_descriptors();
    } else if (kind < 68) {
        write_packet();
    } else if (kind < 78) {
        frame_comes();
    } else if (kind < 92) {
        vclock_fake_advance(below(10) ? below(20000) : below(400000000));
        g_ptr_array_set_size(cable.sent, 0);
    } else if (kind < 94) {
        cable.room = below(2) ? below(5) : 100000;
        if (cable.room > 4)
            cable.netdev.front->sendable(cable.netdev.front_opaque);
    } else if (kind < 96) {
        fake_netdev_set_link(&cable, below(3));
    } else if (kind < 97) {
        GString *out = g_string_new(NULL);
        class->dump(nic, out);
        g_string_free(out, TRUE);
    } else if (kind < 98) {
        load_damaged(class);
    } else if (kind < 99) {
        nic_map(is_e1000 ? 0 : 1, is_e1000 ? 1 : 0);
    } else if (below(20) == 0) {
        class->reset(nic);
    }
}

/* As on the first day. */
static void check(const struct device_class *class, bool is_e1000)
{
    uint32_t word[4] = {0x50000, 0, 60 | (TX_EOP | TX_RS) << 24, 0};
    class->reset(nic);
    nic_map(is_e1000 ? 0 : 1, is_e1000 ? 1 : 0);
    cable.room = UINT32_MAX;
    fake_netdev_set_link(&cable, true);
    vclock_fake_advance(1000000000);
    g_ptr_array_set_size(cable.sent, 0);
    if (is_e1000) {
        mem_write(0x40000, word, 16);
        mmio32_set(TDBAL, 0x40000);
        mmio32_set(TDLEN, 128);
        mmio32_set(TCTL, TCTL_EN);
        mmio32_set(TDT, 1);
    } else {
        ioport_write(NIC_IO + CR, 1, CR_TE);
        mmio32_set(TSAD, 0x50000);
        mmio32_set(TSD, 60);
    }
    vclock_fake_advance(1000);
    g_assert_cmpuint(cable.sent->len, ==, 1);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)g_get_real_time();
    printf("nic_storm: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (unsigned long round = 0; round < rounds; round++, seed++) {
        bool is_e1000 = seed % 2;
        const struct device_class *class = is_e1000 ? &e1000_class : &rtl8139_class;
        static const struct device_class *last;
        seed_state = seed;
        rnd();
        nic_setup(last ? last : class, (uint8_t)(seed >> 1 & 7));
        if (last) { /* it may be another card now */
            nic_free(last);
            nic_new(class);
        }
        last = class;
        check(class, is_e1000);
        for (unsigned i = 0; i < STEPS; i++) {
            if (i % 64 == 0)
                alarm(STUCK_S);
            step(class, is_e1000);
        }
        check(class, is_e1000);
    }
    printf("nic_storm: %lu rounds\n", rounds);
    return 0;
}
