/* Tables for operating systems: PCI interrupt routing, BIOS32, Plug and Play, SMBIOS, MP, ACPI.
 *
 * What is searched for at F0000h goes to the place that the linker script keeps there; the rest stays in our
 * data segment. ACPI 1.0b chapter 5 (MADT of 2.0, HPET 1.0a); MultiProcessor Specification 1.4; SMBIOS 2.4;
 * Microsoft's PCI IRQ Routing Table 1.0; BIOS32 Service Directory 0.4; Plug and Play BIOS 1.0A.
 */
#include "acpi.h"
#include "bios.h"

#define F_TABLES_BYTES 0x800
#define IRQ_MASK       0x0c00 /* 10 and 11 */

extern const uint8_t f_tables[];
extern const uint8_t acpi_dsdt[];
extern const uint32_t acpi_dsdt_size;
extern const uint8_t bios32_entry[], pnp_real[], pnp_protected[]; /* in the code segment */

static uint32_t f_used;

/* Puts bytes into the F0000h segment; their offset there. */
static uint16_t f_put(const void *bytes, uint32_t len, uint32_t align)
{
    f_used = (f_used + align - 1) & ~(align - 1);
    uint16_t off = (uint16_t)((uint32_t)f_tables + f_used);
    if (f_used + len > F_TABLES_BYTES) {
        dprintf("tables: no room for %u bytes\n", len);
        return off;
    }
    far_copy(CODE_SEG, off, DATA_SEG, (uint16_t)(uint32_t)bytes, len);
    f_used += len;
    return off;
}

/* --- $PIR --- */

#define PIR_SLOTS 32

struct pir_slot {
    uint8_t bus, devfn;
    struct {
        uint8_t link;
        uint16_t mask;
    } __attribute__((packed)) pin[4];
    uint8_t slot, reserved;
} __attribute__((packed));

static struct {
    char signature[4];
    uint16_t version, size;
    uint8_t router_bus, router_devfn;
    uint16_t exclusive;
    uint32_t compatible, miniport;
    uint8_t reserved[11], checksum;
    struct pir_slot slots[PIR_SLOTS];
} __attribute__((packed))
pir = {.signature = "$PIR", .version = 0x0100, .router_devfn = 1 << 3, .exclusive = IRQ_MASK, .compatible = 0x122e8086};

static void build_pir(void)
{
    unsigned n = 0;
    /* Slot s, pin p goes to PIRQ (p + s - 1) mod 4; the link values are the PIIX's registers. */
    for (uint8_t slot = 1; slot < 32; slot++) {
        struct pir_slot *s = &pir.slots[n++];
        s->devfn = (uint8_t)(slot << 3);
        for (unsigned pin = 0; pin < 4; pin++) {
            s->pin[pin].link = (uint8_t)(0x60 + ((pin + slot - 1u) & 3));
            s->pin[pin].mask = 0xdef8;
        }
        s->slot = slot <= 2 ? 0 : (uint8_t)(slot - 2); /* what is soldered on has no slot number */
    }
    pir.size = (uint16_t)(32 + n * sizeof(struct pir_slot));
    pci_set_routing(pir.slots, (uint16_t)(n * sizeof(struct pir_slot)));
    pir.checksum = checksum(&pir, pir.size);
    f_put(&pir, pir.size, 16);
}

/* --- BIOS32, $PnP --- */

static void build_bios32(void)
{
    static struct {
        char signature[4];
        uint32_t entry;
        uint8_t revision, paragraphs, checksum, reserved[5];
    } __attribute__((packed)) t = {.signature = "_32_", .paragraphs = 1};
    t.entry = CODE_SEG * 16 + (uint32_t)bios32_entry;
    t.checksum = checksum(&t, sizeof(t));
    f_put(&t, sizeof(t), 16);
}

struct pnp {
    char signature[4];
    uint8_t version, length;
    uint16_t control;
    uint8_t checksum;
    uint32_t event_flag;
    uint16_t real_entry, real_seg, protected_entry;
    uint32_t protected_base, oem_id;
    uint16_t real_data_seg;
    uint32_t protected_data_base;
} __attribute__((packed));

struct pnp pnp_header = {.signature = "$PnP",
                         .version = 0x10,
                         .length = sizeof(struct pnp),
                         .real_seg = CODE_SEG,
                         .protected_base = CODE_SEG * 16,
                         .real_data_seg = DATA_SEG,
                         .protected_data_base = DATA_SEG * 16};

static void build_pnp(void)
{
    pnp_header.real_entry = (uint16_t)(uint32_t)pnp_real;
    pnp_header.protected_entry = (uint16_t)(uint32_t)pnp_protected;
    pnp_header.checksum = checksum(&pnp_header, sizeof(pnp_header));
    f_put(&pnp_header, sizeof(pnp_header), 16);
}

/* --- SMBIOS --- */

static uint8_t smbios[768];
static uint32_t smbios_used, smbios_largest;
static uint16_t smbios_count;

/* One structure: its formatted part and its strings, each ended by a zero, all ended by another. */
static void smbios_add(uint8_t type, const void *formatted, uint8_t len, const char *strings, uint32_t strings_len)
{
    uint32_t total = len + strings_len + (strings_len ? 1 : 2);
    if (smbios_used + total > sizeof(smbios)) {
        dprintf("smbios: no room for type %u\n", type);
        return;
    }
    uint8_t *at = smbios + smbios_used;
    memcpy(at, formatted, len);
    at[0] = type;
    at[1] = len;
    at[2] = (uint8_t)smbios_count;
    at[3] = type; /* handles: the type in the high byte, all are single */
    memcpy(at + len, strings, strings_len);
    memset(at + len + strings_len, 0, strings_len ? 1 : 2);
    smbios_used += total;
    if (total > smbios_largest)
        smbios_largest = total;
    smbios_count++;
}

static uint16_t smbios_handle(uint8_t type)
{
    for (uint8_t *at = smbios; at < smbios + smbios_used;) {
        if (at[0] == type)
            return (uint16_t)(at[2] | at[3] << 8);
        for (at += at[1]; at[0] || at[1]; at++)
            continue;
        at += 2;
    }
    return 0xffff;
}

static uint32_t cpuid_signature(uint32_t *features)
{
    uint32_t eax, ebx, ecx, edx, flags;
    *features = 0;
    /* CPUID is there if the ID flag can be changed. */
    __asm__ volatile("pushfl\n\tpopl %0\n\tmovl %0, %1\n\txorl $0x200000, %0\n\tpushl %0\n\tpopfl\n\t"
                     "pushfl\n\tpopl %0\n\tpushl %1\n\tpopfl"
                     : "=&r"(flags), "=&r"(eax)
                     :
                     : "cc");
    if (!((flags ^ eax) & 0x200000))
        return 0;
    __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(1));
    *features = edx;
    return eax;
}

static void build_smbios(void)
{
    static const char bios_text[] = "Ringer\0" RINGER_VERSION "\0"
                                    "11/22/2026";
    static const char system_text[] = "Ringer\0PC (i440FX + PIIX3)\0" RINGER_VERSION;
    static const char case_text[] = "Ringer";
    static const char cpu_text[] = "CPU 0\0Ringer";
    static const char memory_text[] = "DIMM 0";
    uint32_t features, signature = cpuid_signature(&features), mib = memory_below_4g >> 20;
    uint32_t kib = memory_below_4g >> 10;

    mib += (uint32_t)(memory_above_4g >> 20);

    uint8_t bios[0x18] = {[4] = 1, 2,           [6] = 0x00, 0xe0,       [8] = 3, [9] = 1, [10] = 0x80,
                          0x98,    [18] = 0x00, 0x04,       [0x14] = 0, 1,       0xff,    0xff};
    smbios_add(0, bios, sizeof(bios), bios_text, sizeof(bios_text));

    uint8_t system[0x1b] = {[4] = 1, 2, 3, 0, [0x18] = 6};
    smbios_add(1, system, sizeof(system), system_text, sizeof(system_text));

    uint8_t chassis[0x0d] = {[4] = 1, [5] = 1, [9] = 3, 3, 3, 2};
    smbios_add(3, chassis, sizeof(chassis), case_text, sizeof(case_text));

    uint8_t cpu[0x23] = {
        [4] = 1, [5] = 3, [6] = 1, [7] = 2, [0x18] = 0x41, [0x19] = 1, [0x1a] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    memcpy(cpu + 8, &signature, 4);
    memcpy(cpu + 12, &features, 4);
    smbios_add(4, cpu, sizeof(cpu), cpu_text, sizeof(cpu_text));

    uint32_t total_kib = mib << 10;
    uint8_t array[0x0f] = {[4] = 1, 3, 3, [11] = 0xfe, 0xff, [13] = 1};
    memcpy(array + 7, &total_kib, 4);
    smbios_add(16, array, sizeof(array), "", 0);

    uint16_t handle = smbios_handle(16), size = mib > 0x7ffe ? 0x7fff : (uint16_t)mib;
    uint8_t device[0x1b] = {[6] = 0xfe, 0xff, [8] = 64, 0, 64, 0, [14] = 9, [16] = 1, [18] = 7, [19] = 2};
    memcpy(device + 4, &handle, 2);
    memcpy(device + 12, &size, 2);
    smbios_add(17, device, sizeof(device), memory_text, sizeof(memory_text));

    uint8_t mapped[0x0f] = {[14] = 1};
    uint32_t last = kib - 1;
    memcpy(mapped + 8, &last, 4);
    memcpy(mapped + 12, &handle, 2);
    smbios_add(19, mapped, sizeof(mapped), "", 0);

    uint8_t boot_status[0x0b] = {0};
    smbios_add(32, boot_status, sizeof(boot_status), "", 0);
    uint8_t end[4] = {0};
    smbios_add(127, end, sizeof(end), "", 0);

    static struct {
        char signature[4];
        uint8_t checksum, length, major, minor;
        uint16_t largest;
        uint8_t revision, formatted[5];
        char dmi[5];
        uint8_t dmi_checksum;
        uint16_t table_length;
        uint32_t table;
        uint16_t count;
        uint8_t bcd;
    } __attribute__((packed))
    entry = {.signature = "_SM_", .length = 0x1f, .major = 2, .minor = 4, .dmi = "_DMI_", .bcd = 0x24};
    entry.largest = (uint16_t)smbios_largest;
    entry.table_length = (uint16_t)smbios_used;
    entry.table = linear_of(smbios);
    entry.count = smbios_count;
    entry.dmi_checksum = checksum(entry.dmi, 15);
    entry.checksum = checksum(&entry, 0x1f);
    f_put(&entry, sizeof(entry), 16);
}

/* --- APICs --- */

static uint32_t read_physical(uint32_t at)
{
    static uint32_t value;
    pm_copy(linear_of(&value), at, 4);
    return value;
}

static bool has_apics;

static void find_apics(void)
{
    uint32_t features;
    cpuid_signature(&features);
    uint32_t version = read_physical(ACPI_LAPIC + 0x30);
    has_apics = (features & (1u << 9)) && (version & 0xf0) == 0x10;
    if (has_apics) {
        /* Virtual wire: LINT0 is the 8259's output, LINT1 is NMI. */
        static const uint32_t svr = 0x1ff, lint0 = 0x700, lint1 = 0x400;
        pm_copy(ACPI_LAPIC + 0xf0, linear_of(&svr), 4);
        pm_copy(ACPI_LAPIC + 0x350, linear_of(&lint0), 4);
        pm_copy(ACPI_LAPIC + 0x360, linear_of(&lint1), 4);
    }
}

/* --- MP table --- */

static uint8_t mp[44 + 20 + 2 * 8 + 8 + 16 * 8 + 64 * 8 + 2 * 8];

static uint8_t *mp_interrupt(uint8_t *at, uint8_t kind, uint8_t type, uint16_t flags, uint8_t bus, uint8_t irq,
                             uint8_t apic, uint8_t pin)
{
    const uint8_t entry[8] = {kind, type, (uint8_t)flags, (uint8_t)(flags >> 8), bus, irq, apic, pin};
    memcpy(at, entry, 8);
    return at + 8;
}

static void build_mp(void)
{
    uint32_t features, signature = cpuid_signature(&features);
    uint8_t *at = mp + 44;
    uint16_t count = 0;

    memcpy(mp, "PCMP", 4);
    mp[6] = 4;
    memcpy(mp + 8, "RINGER  PC          ", 20);
    uint32_t lapic = ACPI_LAPIC;
    memcpy(mp + 36, &lapic, 4);

    memset(at, 0, 20); /* the processor: boot processor, usable */
    at[1] = 0;
    at[2] = 0x14;
    at[3] = 3;
    memcpy(at + 4, &signature, 4);
    memcpy(at + 8, &features, 4);
    at += 20;
    count++;
    memcpy(at, "\1\0PCI   ", 8);
    at += 8;
    memcpy(at, "\1\1ISA   ", 8);
    at += 8;
    const uint8_t ioapic[8] = {2,
                               ACPI_IOAPIC_ID,
                               0x11,
                               1,
                               (uint8_t)ACPI_IOAPIC,
                               (uint8_t)(ACPI_IOAPIC >> 8),
                               (uint8_t)(ACPI_IOAPIC >> 16),
                               (uint8_t)(ACPI_IOAPIC >> 24)};
    memcpy(at, ioapic, 8);
    at += 8;
    count += 3;
    for (int bdf = pci_next(0); bdf >= 0; bdf = pci_next((unsigned)bdf + 1)) {
        uint8_t pin = (uint8_t)pci_read((uint16_t)bdf, 0x3d, 1), irq = (uint8_t)pci_read((uint16_t)bdf, 0x3c, 1);
        if (!pin || pin > 4 || irq > 15 || at + 18 * 8 > mp + sizeof(mp))
            continue;
        at = mp_interrupt(at, 3, 0, irq == 9 ? 0x0d : 0x0f, 0, (uint8_t)((bdf >> 3) << 2 | (pin - 1)), ACPI_IOAPIC_ID,
                          irq);
        count++;
    }
    for (uint8_t irq = 0; irq < 16; irq++) {
        if (irq == 2 || irq == 10 || irq == 11)
            continue;
        at = mp_interrupt(at, 3, 0, irq == 9 ? 0x0d : 0, 1, irq, ACPI_IOAPIC_ID, irq == 0 ? 2 : irq);
        count++;
    }
    at = mp_interrupt(at, 4, 3, 0, 1, 0, 0xff, 0); /* ExtINT to LINT0 */
    at = mp_interrupt(at, 4, 1, 0, 1, 0, 0xff, 1); /* NMI to LINT1 */
    count += 2;

    uint16_t length = (uint16_t)(at - mp);
    memcpy(mp + 4, &length, 2);
    memcpy(mp + 34, &count, 2);
    mp[7] = checksum(mp, length);

    static struct {
        char signature[4];
        uint32_t table;
        uint8_t paragraphs, revision, checksum, features[5];
    } __attribute__((packed)) pointer = {.signature = "_MP_", .paragraphs = 1, .revision = 4};
    pointer.table = linear_of(mp);
    pointer.checksum = checksum(&pointer, sizeof(pointer));
    f_put(&pointer, sizeof(pointer), 16);
}

/* --- ACPI --- */

static struct acpi_fadt fadt;
static struct acpi_facs facs __attribute__((aligned(64)));
static struct acpi_madt madt;
static struct acpi_hpet hpet;
static struct {
    struct acpi_header header;
    uint32_t entries[4];
} __attribute__((packed)) rsdt;
static bool has_hpet;

static void acpi_finish(struct acpi_header *header)
{
    header->checksum = checksum(header, header->length);
}

static void dsdt_enable(const char *name)
{
    if (!acpi_dsdt_enable((uint8_t *)acpi_dsdt, acpi_dsdt_size, name)) /* in RAM, as all our data */
        dprintf("dsdt: no %s\n", name);
}

/* After the ports and drives are known. */
void tables_finish(void)
{
    struct acpi_header *dsdt = (struct acpi_header *)acpi_dsdt;
    for (unsigned i = 0; i < 4; i++) {
        if (peek16(BDA_SEG, (uint16_t)(BDA_COM + i * 2)) == 0x2f8)
            dsdt_enable("COM2");
        if (i < 3 && peek16(BDA_SEG, (uint16_t)(BDA_LPT + i * 2)) == 0x378)
            dsdt_enable("LPTP");
    }
    if (floppy_count)
        dsdt_enable("FDCP");
    if (has_hpet)
        dsdt_enable("HPTP");
    dsdt->checksum = 0;
    dsdt->checksum = checksum(dsdt, acpi_dsdt_size);
}

static void build_acpi(void)
{
    unsigned n = 0;

    facs = (struct acpi_facs){.signature = "FACS", .length = sizeof(facs)};
    fadt = acpi_fadt_of_board(pm_base);
    fadt.facs = linear_of(&facs);
    fadt.dsdt = linear_of(acpi_dsdt);
    acpi_finish(&fadt.header);
    rsdt.entries[n++] = linear_of(&fadt);
    if (has_apics) {
        madt = acpi_madt_of_board();
        acpi_finish(&madt.header);
        rsdt.entries[n++] = linear_of(&madt);
    }
    uint32_t hpet_id = read_physical(ACPI_HPET);
    if (hpet_id && hpet_id != 0xffffffff && (hpet_id & 0xff)) {
        has_hpet = true;
        hpet = acpi_hpet_of_board(hpet_id);
        acpi_finish(&hpet.header);
        rsdt.entries[n++] = linear_of(&hpet);
    }
    rsdt.header = (struct acpi_header)ACPI_HEADER("RSDT", sizeof(rsdt.header) + n * 4);
    acpi_finish(&rsdt.header);

    static struct acpi_rsdp rsdp = {.signature = "RSD PTR ", .oem_id = ACPI_OEM_ID};
    rsdp.rsdt = linear_of(&rsdt);
    rsdp.checksum = checksum(&rsdp, sizeof(rsdp));
    f_put(&rsdp, sizeof(rsdp), 16);
}

uint16_t tables_put(const void *bytes, uint32_t len)
{
    return f_put(bytes, len, 16);
}

void tables_build(void)
{
    f_used = 0;
    find_apics();
    build_pnp();
    build_bios32();
    if (pm_base)
        build_acpi();
    build_smbios();
    if (has_apics)
        build_mp();
    build_pir();
}
