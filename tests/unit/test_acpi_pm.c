/* PIIX4 power management: PM1 block, timer, soft-off; and the two reset and A20 ports around it. */
#include "devices/acpi_pm.h"
#include "board.h"
#include "devices/i440fx.h"
#include "devices/port92.h"

#define BASE 0xb000
#define PM   PCI_DEVFN(1, 3)

static struct wire sci;
static unsigned offs;
static struct i440fx *host;
static struct pci_bus *pci;
static struct acpi_pm *pm;

static void create(void)
{
    struct irq sci_irq = wire_irq(&sci), off = {pulse_count, &offs, 0};
    memset(&sci, 0, sizeof(sci));
    offs = 0;
    host = i440fx_new(NULL, NULL);
    pci = i440fx_bus(host);
    pm = acpi_pm_new(pci, &sci_irq, &off);
    pci_config_write(pci, PM, 0x40, 4, BASE | 1);
    pci_config_write(pci, PM, 0x80, 1, 1);
}

static void setup(void)
{
    if (pm) {
        acpi_pm_free(pm);
        i440fx_free(host);
    }
    ioport_clear();
    vclock_fake_start();
    create();
}

static uint32_t timer(void)
{
    return ioport_read(BASE + 8, 4);
}

static void test_identity(void)
{
    setup();
    g_assert_cmphex(pci_config_read(pci, PM, 0, 4), ==, 0x71138086);
    g_assert_cmphex(pci_config_read(pci, PM, 0x40, 4), ==, BASE | 1);
}

static void test_base_moves_and_turns_off(void)
{
    setup();
    pci_config_write(pci, PM, 0x40, 4, 0x600 | 1);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0xffff);
    g_assert_cmphex(ioport_read(0x600, 2), ==, 0);
    pci_config_write(pci, PM, 0x80, 1, 0);
    g_assert_cmphex(ioport_read(0x600, 2), ==, 0xffff);
}

static void test_base_on_top_of_others_stays_off(void)
{
    setup();
    pci_config_write(pci, PM, 0x40, 4, 0xcc0 | 1); /* covers CF8h */
    outb(0xcf8 + 3, 0);
    g_assert_cmphex(ioport_read(0xcc0, 2), ==, 0xffff);
    pci_config_write(pci, PM, 0x40, 4, BASE | 1);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0);
}

static void test_timer_rate(void)
{
    setup();
    uint32_t start = timer();
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint((timer() - start) & 0xffffff, ==, ACPI_PM_TIMER_HZ & 0xffffff);
}

static void test_timer_wraps_at_24_bits(void)
{
    setup();
    vclock_fake_advance((int64_t)((1ll << 24) * 1e9 / ACPI_PM_TIMER_HZ) + 1000);
    g_assert_cmpuint(timer(), <, 16);
}

static void test_timer_sets_status_on_each_toggle(void)
{
    setup();
    vclock_fake_advance(2300 * MS);
    g_assert_cmphex(ioport_read(BASE, 2) & 1, ==, 0);
    vclock_fake_advance(100 * MS); /* 2^23 ticks are 2.3435 s */
    g_assert_cmphex(ioport_read(BASE, 2) & 1, ==, 1);
    g_assert_false(sci.level);
    ioport_write(BASE, 2, 1);
    g_assert_cmphex(ioport_read(BASE, 2) & 1, ==, 0);
    vclock_fake_advance(2400 * MS);
    g_assert_cmphex(ioport_read(BASE, 2) & 1, ==, 1);
}

static void test_timer_overflow_raises_sci(void)
{
    setup();
    outb(ACPI_SMI_CMD, ACPI_SMI_ENABLE);
    ioport_write(BASE + 2, 2, 1);
    vclock_fake_advance(2343 * MS);
    g_assert_false(sci.level);
    vclock_fake_advance(1 * MS);
    g_assert_true(sci.level);
    ioport_write(BASE, 2, 1);
    g_assert_false(sci.level);
    vclock_fake_advance(2344 * MS);
    g_assert_cmpuint(sci.rises, ==, 2);
}

static void test_sci_needs_sci_en(void)
{
    setup();
    ioport_write(BASE + 2, 2, 0x100);
    acpi_pm_press_power_button(pm);
    g_assert_false(sci.level);
    outb(ACPI_SMI_CMD, ACPI_SMI_ENABLE);
    g_assert_cmphex(ioport_read(BASE + 4, 2), ==, 1);
    g_assert_true(sci.level);
    outb(ACPI_SMI_CMD, ACPI_SMI_DISABLE);
    g_assert_cmphex(ioport_read(BASE + 4, 2), ==, 0);
    g_assert_false(sci.level);
}

static void test_power_button(void)
{
    setup();
    outb(ACPI_SMI_CMD, ACPI_SMI_ENABLE);
    acpi_pm_press_power_button(pm);
    g_assert_false(sci.level);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0x100);
    ioport_write(BASE + 2, 2, 0x100);
    g_assert_true(sci.level);
    ioport_write(BASE, 2, 0x100);
    g_assert_false(sci.level);
}

static void test_byte_write_to_status_clears_only_its_half(void)
{
    setup();
    acpi_pm_press_power_button(pm);
    vclock_fake_advance(2400 * MS);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0x101);
    outb(BASE, 0xff);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0x100);
    outb(BASE + 1, 0x01);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0);
}

static void test_sci_en_cannot_be_written(void)
{
    setup();
    ioport_write(BASE + 4, 2, 0x0001);
    g_assert_cmphex(ioport_read(BASE + 4, 2), ==, 0);
}

static void test_soft_off(void)
{
    setup();
    ioport_write(BASE + 4, 2, 0x0000); /* type without SLP_EN */
    g_assert_cmpuint(offs, ==, 0);
    ioport_write(BASE + 4, 2, 0x2000 | 1 << 10); /* another sleep type */
    g_assert_cmpuint(offs, ==, 0);
    ioport_write(BASE + 4, 2, 0x2000);
    g_assert_cmpuint(offs, ==, 1);
    g_assert_cmphex(ioport_read(BASE + 4, 2) & 0x2000, ==, 0);
}

static void test_gpe_block(void)
{
    setup();
    ioport_write(BASE + 14, 2, 0xffff);
    g_assert_cmphex(ioport_read(BASE + 14, 2), ==, 0xffff);
    g_assert_cmphex(ioport_read(BASE + 12, 2), ==, 0);
    ioport_write(BASE + 12, 2, 0xffff);
    g_assert_false(sci.level);
}

static void test_reset_closes_the_block(void)
{
    setup();
    outb(ACPI_SMI_CMD, ACPI_SMI_ENABLE);
    i440fx_class.reset(host);
    acpi_pm_class.reset(pm);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 0xffff);
    pci_config_write(pci, PM, 0x40, 4, BASE | 1);
    pci_config_write(pci, PM, 0x80, 1, 1);
    g_assert_cmphex(ioport_read(BASE + 4, 2), ==, 0);
}

static void test_save_load_before_overflow(void)
{
    setup();
    outb(ACPI_SMI_CMD, ACPI_SMI_ENABLE);
    ioport_write(BASE + 2, 2, 0x101);
    vclock_fake_advance(2000 * MS);
    GByteArray *bytes = device_saved(&acpi_pm_class, pm);
    GByteArray *bus = device_saved(&i440fx_class, host);
    acpi_pm_free(pm);
    i440fx_free(host);
    create();
    device_load_checked(&i440fx_class, host, bus);
    device_load_checked(&acpi_pm_class, pm, bytes);
    g_assert_false(sci.level);
    vclock_fake_advance(344 * MS);
    g_assert_true(sci.level);
    g_assert_cmphex(ioport_read(BASE, 2), ==, 1);
}

static void test_port92_a20_and_reset(void)
{
    struct wire a20 = {0};
    unsigned resets = 0;
    setup();
    struct irq a20_irq = wire_irq(&a20), reset = {pulse_count, &resets, 0};
    struct port92 *port92 = port92_new(&a20_irq, &reset);
    g_assert_true(a20.level);
    outb(0x92, 0x00);
    g_assert_false(a20.level);
    outb(0x92, 0x02);
    g_assert_true(a20.level);
    g_assert_cmphex(inb(0x92), ==, 0x02);
    g_assert_cmpuint(resets, ==, 0);
    outb(0x92, 0x03);
    outb(0x92, 0x03);
    g_assert_cmpuint(resets, ==, 1);
    GByteArray *bytes = device_saved(&port92_class, port92);
    port92_free(port92);
    port92 = port92_new(&a20_irq, &reset);
    device_load_checked(&port92_class, port92, bytes);
    g_assert_cmphex(inb(0x92), ==, 0x03);
    port92_free(port92);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi_pm/identity", test_identity);
    g_test_add_func("/acpi_pm/base_moves_and_turns_off", test_base_moves_and_turns_off);
    g_test_add_func("/acpi_pm/base_on_top_of_others_stays_off", test_base_on_top_of_others_stays_off);
    g_test_add_func("/acpi_pm/timer_rate", test_timer_rate);
    g_test_add_func("/acpi_pm/timer_wraps_at_24_bits", test_timer_wraps_at_24_bits);
    g_test_add_func("/acpi_pm/timer_sets_status_on_each_toggle", test_timer_sets_status_on_each_toggle);
    g_test_add_func("/acpi_pm/timer_overflow_raises_sci", test_timer_overflow_raises_sci);
    g_test_add_func("/acpi_pm/sci_needs_sci_en", test_sci_needs_sci_en);
    g_test_add_func("/acpi_pm/power_button", test_power_button);
    g_test_add_func("/acpi_pm/byte_write_to_status_clears_only_its_half",
                    test_byte_write_to_status_clears_only_its_half);
    g_test_add_func("/acpi_pm/sci_en_cannot_be_written", test_sci_en_cannot_be_written);
    g_test_add_func("/acpi_pm/soft_off", test_soft_off);
    g_test_add_func("/acpi_pm/gpe_block", test_gpe_block);
    g_test_add_func("/acpi_pm/reset_closes_the_block", test_reset_closes_the_block);
    g_test_add_func("/acpi_pm/save_load_before_overflow", test_save_load_before_overflow);
    g_test_add_func("/port92/a20_and_reset", test_port92_a20_and_reset);
    return g_test_run();
}
