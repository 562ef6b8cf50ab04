/* Local APIC and I/O APIC: one test per behaviour of SDM vol. 3A, chapter 10, and the 82093AA's data sheet. */
#include "board.h"
#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "mem.h"

static struct wire intr, nmi;
static struct lapic *lapic;
static struct ioapic *ioapic;
static uint8_t pic_vector;

static uint8_t pic_ack(void *opaque)
{
    return pic_vector;
}

static void eoi(void *opaque, uint8_t vector)
{
    ioapic_eoi(ioapic, vector);
}

static uint32_t lapic_get(uint32_t offset)
{
    uint32_t value;
    mem_read(LAPIC_BASE + offset, &value, 4);
    return value;
}
static void lapic_put(uint32_t offset, uint32_t value)
{
    mem_write(LAPIC_BASE + offset, &value, 4);
}
static uint32_t ioapic_get(uint32_t index)
{
    uint32_t value;
    mem_write(IOAPIC_BASE, &index, 4);
    mem_read(IOAPIC_BASE + 0x10, &value, 4);
    return value;
}
static void ioapic_put(uint32_t index, uint32_t value)
{
    mem_write(IOAPIC_BASE, &index, 4);
    mem_write(IOAPIC_BASE + 0x10, &value, 4);
}

static bool has_deadline = true;

static void setup(void)
{
    if (lapic) {
        ioapic_free(ioapic);
        lapic_free(lapic);
    } else {
        g_assert_true(mem_init(1 * MiB, NULL));
    }
    vclock_fake_start();
    memset(&intr, 0, sizeof intr);
    memset(&nmi, 0, sizeof nmi);
    struct lapic_wiring wiring = {
        .intr = wire_irq(&intr), .nmi = wire_irq(&nmi), .eoi = eoi, .pic_ack = pic_ack, .tsc_deadline = has_deadline};
    lapic = lapic_new(&wiring);
    ioapic = ioapic_new(lapic);
    lapic_put(0xf0, 0x1ff); /* software enable, spurious vector FFh */
}

static void send_self(uint8_t vector)
{
    lapic_put(0x300, 0x40000u | vector);
}

static void test_reset_passes_the_8259(void)
{
    setup();
    lapic_class.reset(lapic);
    g_assert_cmphex(lapic_get(0x30), ==, 0x00050014);
    g_assert_cmphex(lapic_get(0xf0), ==, 0xff);
    pic_vector = 0x31;
    lapic_set_lint0(lapic, 0, true);
    g_assert_true(intr.level); /* ExtINT, also while software-disabled */
    g_assert_cmphex(lapic_ack(lapic), ==, 0x31);
    lapic_put(0x350, 0x10700);
    g_assert_false(intr.level); /* masked */
    lapic_set_lint0(lapic, 0, false);
}

static void test_priority_and_service(void)
{
    setup();
    send_self(0x41);
    send_self(0x61);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x61);
    g_assert_cmphex(lapic_get(0xa0), ==, 0x60);
    g_assert_false(intr.level); /* 41h waits for the EOI */
    send_self(0x6f);
    g_assert_false(intr.level); /* same class */
    send_self(0x71);
    g_assert_true(intr.level);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x71);
    lapic_put(0xb0, 0);
    lapic_put(0xb0, 0);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x6f);
    lapic_put(0xb0, 0);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x41);
}

static void test_task_priority_holds_back(void)
{
    setup();
    lapic_put(0x80, 0x50);
    send_self(0x5f);
    g_assert_false(intr.level);
    lapic_put(0x80, 0x4f);
    g_assert_true(intr.level);
}

static void test_withdrawn_is_spurious(void)
{
    setup();
    send_self(0x44);
    lapic_put(0x80, 0xf0);
    g_assert_cmphex(lapic_ack(lapic), ==, 0xff);
}

static void test_software_disable_masks_lvt(void)
{
    setup();
    lapic_put(0x320, 0x30);
    lapic_put(0xf0, 0xff);
    g_assert_cmphex(lapic_get(0x320), ==, 0x10030);
    send_self(0x44);
    g_assert_false(intr.level);
}

static void test_errors(void)
{
    setup();
    lapic_put(0x370, 0x45);
    send_self(0x0f);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x45);
    g_assert_cmphex(lapic_get(0x280), ==, 0); /* shown after a write only */
    lapic_put(0x280, 0);
    g_assert_cmphex(lapic_get(0x280), ==, 0x20);
    lapic_put(0x280, 0);
    g_assert_cmphex(lapic_get(0x280), ==, 0);
}

static void test_nmi_by_command_and_pin(void)
{
    setup();
    lapic_put(0x300, 0x40400);
    g_assert_cmpuint(nmi.rises, ==, 1);
    lapic_put(0x360, 0x400);
    irq_set(&(struct irq){lapic_set_lint1, lapic, 0}, true);
    g_assert_cmpuint(nmi.rises, >=, 1);
}

static void test_timer_one_shot(void)
{
    setup();
    lapic_put(0x320, 0x50);
    lapic_put(0x3e0, 0x3);  /* divide by 16 */
    lapic_put(0x380, 1000); /* 16 us */
    vclock_fake_advance(8 * US);
    g_assert_cmpuint(lapic_get(0x390), ==, 500);
    g_assert_false(intr.level);
    vclock_fake_advance(8 * US);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x50);
    lapic_put(0xb0, 0);
    g_assert_cmpuint(lapic_get(0x390), ==, 0);
    vclock_fake_advance(MS);
    g_assert_false(intr.level);
}

static void test_timer_periodic(void)
{
    setup();
    lapic_put(0x320, 0x20050);
    lapic_put(0x3e0, 0xb);     /* divide by 1 */
    lapic_put(0x380, 1000000); /* 1 ms */
    for (unsigned i = 0; i < 5; i++) {
        vclock_fake_advance(MS);
        g_assert_cmphex(lapic_ack(lapic), ==, 0x50);
        lapic_put(0xb0, 0);
    }
    lapic_put(0x380, 0);
    vclock_fake_advance(5 * MS);
    g_assert_false(intr.level);
}

static void test_timer_deadline(void)
{
    setup();
    lapic_set_deadline(lapic, 12345, vclock_now() + MS);
    g_assert_cmpuint(lapic_deadline(lapic), ==, 0); /* another mode: the write is ignored */
    lapic_put(0x320, 0x40050);
    g_assert_cmphex(lapic_get(0x320), ==, 0x40050);
    lapic_set_deadline(lapic, 12345, vclock_now() + MS);
    g_assert_cmpuint(lapic_deadline(lapic), ==, 12345);
    lapic_put(0x380, 1000); /* ignored in this mode */
    g_assert_cmpuint(lapic_get(0x380) | lapic_get(0x390), ==, 0);
    vclock_fake_advance(MS - 1);
    g_assert_false(intr.level);
    vclock_fake_advance(1);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x50);
    lapic_put(0xb0, 0);
    g_assert_cmpuint(lapic_deadline(lapic), ==, 0); /* once */
    vclock_fake_advance(5 * MS);
    g_assert_false(intr.level);
}

static void test_timer_deadline_disarmed(void)
{
    setup();
    lapic_put(0x320, 0x40050);
    lapic_set_deadline(lapic, 1, vclock_now() + MS);
    lapic_set_deadline(lapic, 0, vclock_now());
    vclock_fake_advance(5 * MS);
    g_assert_false(intr.level);
    lapic_set_deadline(lapic, 1, vclock_now() + MS);
    lapic_put(0x320, 0x10050); /* one-shot by the count, and masked: another timer */
    lapic_put(0x320, 0x40050);
    g_assert_cmpuint(lapic_deadline(lapic), ==, 0);
    vclock_fake_advance(5 * MS);
    g_assert_false(intr.level);
    lapic_set_deadline(lapic, 1, vclock_now() + MS); /* masking alone does not stop it */
    lapic_put(0x320, 0x50050);
    vclock_fake_advance(MS);
    g_assert_cmpuint(lapic_deadline(lapic), ==, 0);
    g_assert_false(intr.level);
}

static void test_timer_deadline_saved(void)
{
    setup();
    GByteArray *saved = g_byte_array_new();
    lapic_put(0x320, 0x40050);
    lapic_set_deadline(lapic, 77, vclock_now() + MS);
    device_save(&lapic_class, lapic, saved);
    lapic_class.reset(lapic);
    vclock_fake_advance(MS / 2);
    g_assert_true(device_load(&lapic_class, lapic, saved->data, saved->len));
    g_assert_cmpuint(lapic_deadline(lapic), ==, 77);
    vclock_fake_advance(MS / 2);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x50);
    g_byte_array_free(saved, TRUE);
}

static void test_timer_without_deadline(void)
{
    has_deadline = false;
    setup();
    lapic_put(0x320, 0x40050);
    g_assert_cmphex(lapic_get(0x320), ==, 0x50); /* the bit is reserved */
    has_deadline = true;
}

static void test_logical_destinations(void)
{
    setup();
    lapic_put(0xd0, 0x02000000);
    lapic_message(lapic, 0x01, true, APIC_FIXED, 0x40, false);
    g_assert_false(intr.level);
    lapic_message(lapic, 0x03, true, APIC_FIXED, 0x40, false);
    g_assert_true(intr.level);
    lapic_ack(lapic);
    lapic_put(0xb0, 0);
    lapic_put(0xe0, 0x0fffffff); /* cluster model */
    lapic_put(0xd0, 0x12000000);
    lapic_message(lapic, 0x22, true, APIC_FIXED, 0x40, false);
    g_assert_false(intr.level);
    lapic_message(lapic, 0x12, true, APIC_FIXED, 0x40, false);
    g_assert_true(intr.level);
}

static void test_ioapic_edge(void)
{
    setup();
    g_assert_cmphex(ioapic_get(1), ==, 0x00170011);
    g_assert_cmphex(ioapic_get(0x10 + 2 * 4), ==, 0x10000);
    ioapic_put(0x10 + 2 * 4, 0x44);
    ioapic_set_line(ioapic, 4, true);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x44);
    lapic_put(0xb0, 0);
    g_assert_false(intr.level); /* the level alone asks for nothing */
    ioapic_set_line(ioapic, 4, false);
    ioapic_set_line(ioapic, 4, true);
    g_assert_true(intr.level);
}

/* 82093AA, redirection table, interrupt mask: it is neither delivered nor held pending. */
static void test_ioapic_edge_while_masked_is_ignored(void)
{
    setup();
    ioapic_set_line(ioapic, 4, true);
    ioapic_set_line(ioapic, 4, false);
    ioapic_put(0x10 + 2 * 4, 0x44);
    g_assert_false(intr.level);
    ioapic_set_line(ioapic, 4, true);
    g_assert_true(intr.level);
}

static void test_ioapic_level_until_eoi(void)
{
    setup();
    ioapic_put(0x10 + 2 * 10, 0x8052);
    ioapic_set_line(ioapic, 10, true);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x52);
    g_assert_true(ioapic_get(0x10 + 2 * 10) & 0x4000); /* remote IRR */
    g_assert_false(intr.level);
    lapic_put(0xb0, 0);
    g_assert_true(intr.level); /* still high: again */
    lapic_ack(lapic);
    ioapic_set_line(ioapic, 10, false);
    lapic_put(0xb0, 0);
    g_assert_false(intr.level);
    g_assert_false(ioapic_get(0x10 + 2 * 10) & 0x4000);
}

static void test_ioapic_two_wires_one_pin(void)
{
    setup();
    ioapic_put(0x10 + 2 * 11, 0x8053);
    ioapic_set_line(ioapic, 11, true);
    ioapic_set_line(ioapic, 11 + IOAPIC_LINE_PCI, true);
    lapic_ack(lapic);
    ioapic_set_line(ioapic, 11, false);
    lapic_put(0xb0, 0);
    g_assert_true(intr.level);
}

static void test_save_and_load(void)
{
    setup();
    lapic_put(0x320, 0x50);
    lapic_put(0x3e0, 0xb);
    lapic_put(0x380, 1000000);
    send_self(0x61);
    ioapic_put(0x10 + 2 * 10, 0x8052);
    GByteArray *local = g_byte_array_new(), *io = g_byte_array_new();
    device_save(&lapic_class, lapic, local);
    device_save(&ioapic_class, ioapic, io);
    setup();
    g_assert_true(device_load(&lapic_class, lapic, local->data, local->len));
    g_assert_true(device_load(&ioapic_class, ioapic, io->data, io->len));
    g_assert_cmphex(lapic_ack(lapic), ==, 0x61);
    g_assert_cmphex(ioapic_get(0x10 + 2 * 10), ==, 0x8052);
    g_assert_false(device_load(&lapic_class, lapic, local->data, local->len - 1));
    g_byte_array_unref(local);
    g_byte_array_unref(io);
}

#define ADD(name) g_test_add_func("/apic/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(reset_passes_the_8259);
    ADD(priority_and_service);
    ADD(task_priority_holds_back);
    ADD(withdrawn_is_spurious);
    ADD(software_disable_masks_lvt);
    ADD(errors);
    ADD(nmi_by_command_and_pin);
    ADD(timer_one_shot);
    ADD(timer_periodic);
    ADD(timer_deadline);
    ADD(timer_deadline_disarmed);
    ADD(timer_deadline_saved);
    ADD(timer_without_deadline);
    ADD(logical_destinations);
    ADD(ioapic_edge);
    ADD(ioapic_edge_while_masked_is_ignored);
    ADD(ioapic_level_until_eoi);
    ADD(ioapic_two_wires_one_pin);
    ADD(save_and_load);
    return g_test_run();
}
