/* Linux boot protocol: made-up bzImages, what is refused and what the kernel is handed. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "firmware/acpi_tables.h"
#include "cpu.h"
#include "firmware/loader.h"
#include "mem.h"

#define RAM   (32 * MiB)
#define SETUP 1024 /* one setup sector */

static char *dir, *kernel_path, *initrd_path;
static uint8_t file[SETUP + 4096];
static size_t file_len;

static void put(unsigned offset, uint64_t value, unsigned size)
{
    memcpy(file + offset, &value, size);
}

/* A bzImage of protocol 2.15 with 4 KiB of code. */
static void make_kernel(void)
{
    memset(file, 0, sizeof(file));
    file_len = sizeof(file);
    put(0x1f1, 1, 1);
    put(0x1f4, 4096 / 16, 4);
    put(0x1fe, 0xaa55, 2);
    file[0x200] = 0xeb;
    file[0x201] = 0x66; /* header ends at 268h */
    memcpy(file + 0x202, "HdrS", 4);
    put(0x206, 0x020f, 2);
    put(0x211, 0x01, 1);
    put(0x214, 0x100000, 4);
    put(0x22c, 0x37ffffff, 4);
    put(0x238, 255, 4);
    put(0x258, 0x100000, 8);
    put(0x260, 0x10000, 4);
    memset(file + SETUP, 0x90, 4096);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
}

static struct boot_image *open_image(const char *initrd, const char *append, uint64_t ram, GError **error)
{
    write_file(kernel_path, file, file_len);
    return boot_image_open(kernel_path, initrd, append, ram, error);
}

static void expect_error(const char *initrd, const char *append, uint64_t ram, const char *what)
{
    GError *error = NULL;
    g_assert_null(open_image(initrd, append, ram, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, what))
        g_error("'%s' does not say '%s'", error->message, what);
    g_error_free(error);
}

static struct cpu *install(const char *initrd, const char *append)
{
    static struct cpu cpu;
    GError *error = NULL;
    struct boot_image *image = open_image(initrd, append, RAM, &error);
    g_assert_no_error(error);
    memset(&cpu, 0xcc, sizeof(cpu));
    boot_image_install(image, &cpu, NULL);
    boot_image_free(image);
    return &cpu;
}

static uint32_t param32(unsigned offset)
{
    uint32_t value;
    mem_read(BOOT_PARAMS + offset, &value, 4);
    return value;
}

static void test_cpu_state(void)
{
    make_kernel();
    struct cpu *cpu = install(NULL, NULL);
    g_assert_cmphex(cpu->eip, ==, 0x100000);
    g_assert_cmphex(cpu->gpr[ESI], ==, BOOT_PARAMS);
    g_assert_cmphex(cpu->gpr[EBP] | cpu->gpr[EDI] | cpu->gpr[EBX], ==, 0);
    g_assert_cmphex(cpu->eflags, ==, FL_FIXED1);
    g_assert_cmphex(cpu->cr0 & (CR0_PE | CR0_PG), ==, CR0_PE);
    g_assert_cmphex(cpu->seg[SEG_CS].sel, ==, 0x10);
    g_assert_cmphex(cpu->seg[SEG_CS].limit, ==, 0xffffffffu);
    g_assert_cmphex(cpu->seg[SEG_DS].sel, ==, 0x18);
    g_assert_cmphex(cpu->seg[SEG_SS].base, ==, 0);
    g_assert_cmpuint(cpu->cpl, ==, 0);
}

static void test_gdt_matches_the_caches(void)
{
    uint64_t descriptor;
    make_kernel();
    struct cpu *cpu = install(NULL, NULL);
    g_assert_cmpuint(cpu->gdtr.limit, >=, 0x1f);
    mem_read(cpu->gdtr.base + 0x10, &descriptor, 8);
    g_assert_cmphex(descriptor, ==, 0x00cf9b000000ffffull);
    mem_read(cpu->gdtr.base + 0x18, &descriptor, 8);
    g_assert_cmphex(descriptor, ==, 0x00cf93000000ffffull);
}

static void test_code_is_loaded(void)
{
    uint8_t code[4096];
    make_kernel();
    file[SETUP] = 0xf4;
    install(NULL, NULL);
    mem_read(0x100000, code, sizeof(code));
    g_assert_cmpmem(code, sizeof(code), file + SETUP, 4096);
}

static void test_header_is_copied(void)
{
    uint8_t header[0x268 - 0x1f1];
    make_kernel();
    install(NULL, NULL);
    mem_read(BOOT_PARAMS + 0x202, header, 4);
    g_assert_cmpmem(header, 4, "HdrS", 4);
    g_assert_cmphex(param32(0x210) & 0xff, ==, 0xff); /* type_of_loader */
    g_assert_cmphex(param32(0x1fa) & 0xffff, ==, 0xffff);
}

/* Where our own tables are, the kernel is told; after a BIOS it searches, and nothing may be named that is not there.
 */
static void test_rsdp_is_named(void)
{
    static const char signature[8] = "RSD PTR ", none[8] = "";
    make_kernel();
    mem_write(ACPI_RSDP_ADDR, signature, sizeof(signature));
    install(NULL, NULL);
    g_assert_cmphex(param32(0x070), ==, ACPI_RSDP_ADDR);
    mem_write(ACPI_RSDP_ADDR, none, sizeof(none));
    install(NULL, NULL);
    g_assert_cmphex(param32(0x070), ==, 0);
}

static void test_command_line(void)
{
    char text[16];
    make_kernel();
    install(NULL, "console=ttyS0");
    g_assert_cmphex(param32(0x228), ==, BOOT_CMDLINE);
    mem_read(BOOT_CMDLINE, text, 14);
    g_assert_cmpstr(text, ==, "console=ttyS0");
}

static void test_memory_map(void)
{
    struct e820_entry map[4];
    make_kernel();
    install(NULL, NULL);
    g_assert_cmpuint(param32(0x1e8) & 0xff, ==, 4);
    mem_read(BOOT_PARAMS + 0x2d0, map, sizeof(map));
    g_assert_cmphex(map[0].size, ==, 0x9fc00);
    g_assert_cmpuint(map[0].type, ==, 1);
    g_assert_cmpuint(map[1].type, ==, 2);
    g_assert_cmphex(map[2].base, ==, 0xf0000);
    g_assert_cmpuint(map[2].type, ==, 2);
    g_assert_cmphex(map[3].base, ==, MiB);
    g_assert_cmphex(map[3].base + map[3].size, ==, RAM);
    g_assert_cmphex(param32(0x1e0), ==, (RAM - MiB) / KiB);
}

/* After a BIOS: the setup code in real mode. Every version of the protocol has its places. */
static void test_real_mode(void)
{
    static const struct {
        uint16_t version;
        bool high;
        uint32_t setup, line, code;
    } cases[] = {
        {0x200, true, 0x90000, 0x99fe0, MiB},      {0x201, true, 0x90000, 0x99fe0, MiB},
        {0x202, true, 0x10000, 0x20000, MiB},      {0x205, true, 0x10000, 0x20000, MiB},
        {0x20f, true, 0x10000, 0x20000, MiB},      {0x200, false, 0x90000, 0x99fe0, 0x10000},
        {0x203, false, 0x90000, 0x99fe0, 0x10000},
    };
    static const struct e820_map bios = {1, {{0, 0x90000, E820_RAM}}};
    write_file(initrd_path, "initrd!", 7);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct cpu cpu = {.cr0 = CR0_PE};
        GError *error = NULL;
        char text[16];
        uint8_t setup[SETUP], code[64];
        make_kernel();
        put(0x206, cases[i].version, 2);
        put(0x211, cases[i].high, 1);
        put(0x214, 0, 4); /* iPXE's way to say that only its setup code knows where */
        struct boot_image *image = open_image(initrd_path, "vga=0x305 console", RAM, &error);
        g_assert_no_error(error);
        g_assert_true(boot_image_needs_bios(image));
        boot_image_install(image, &cpu, &bios);
        boot_image_free(image);
        g_assert_cmphex(cpu.cr0 & CR0_PE, ==, 0);
        g_assert_cmphex(cpu.seg[SEG_CS].sel, ==, (cases[i].setup >> 4) + 0x20);
        g_assert_cmphex(cpu.seg[SEG_CS].base + cpu.eip, ==, cases[i].setup + 0x200);
        g_assert_cmphex(cpu.seg[SEG_DS].sel, ==, cases[i].setup >> 4);
        g_assert_cmphex(cpu.seg[SEG_SS].base, ==, cases[i].setup);
        g_assert_cmphex(cpu.gpr[ESP], >=, 0x4000);
        g_assert_cmphex(cpu.gpr[ESP] & 15, ==, 0);
        mem_read(cases[i].setup, setup, sizeof(setup));
        g_assert_cmpmem(setup + 0x202, 4, "HdrS", 4);
        g_assert_cmphex(setup[0x210], ==, 0xff);
        g_assert_cmphex(setup[0x1fa] | setup[0x1fb] << 8, ==, 0x305);
        mem_read(cases[i].line, text, 16);
        g_assert_cmpmem(text, 16, "vga=0x305 consol", 16);
        uint32_t line, old = setup[0x20] | setup[0x21] << 8, offset = setup[0x22] | setup[0x23] << 8, disk;
        memcpy(&line, setup + 0x228, 4);
        g_assert_cmphex(cases[i].version >= 0x202 ? line
                        : old == 0xa33f           ? cases[i].setup + offset
                                                  : 0,
                        ==, cases[i].line);
        memcpy(&disk, setup + 0x218, 4);
        mem_read(disk, text, 7);
        g_assert_cmpmem(text, 7, "initrd!", 7);
        uint32_t heap_end = setup[0x224] | setup[0x225] << 8;
        g_assert_cmphex(setup[0x211] >> 7, ==, cases[i].version >= 0x201);
        g_assert_true(cases[i].version < 0x201 || (heap_end >= 0x4000 && heap_end + 0x200 < cpu.gpr[ESP]));
        mem_read(cases[i].code, code, sizeof(code));
        g_assert_cmpmem(code, sizeof(code), file + SETUP, sizeof(code));
    }
}

/* Today's kernels can do without a BIOS; with one they start in real mode, too. */
static void test_real_mode_of_a_new_kernel(void)
{
    static const struct e820_map bios = {1, {{0, 0x90000, E820_RAM}}};
    struct cpu cpu = {0};
    GError *error = NULL;
    make_kernel();
    struct boot_image *image = open_image(NULL, NULL, RAM, &error);
    g_assert_no_error(error);
    g_assert_false(boot_image_needs_bios(image));
    boot_image_install(image, &cpu, &bios);
    boot_image_free(image);
    g_assert_cmphex(cpu.seg[SEG_CS].base, ==, 0x10200);
}

/* The files are read once: what becomes of them later does not matter. */
static void test_files_may_change(void)
{
    static struct cpu cpu;
    GError *error = NULL;
    char text[8];
    uint8_t code[16];
    make_kernel();
    write_file(initrd_path, "initrd!", 7);
    struct boot_image *image = open_image(initrd_path, NULL, RAM, &error);
    g_assert_no_error(error);
    g_assert_cmpint(truncate(kernel_path, 0), ==, 0); /* in place, as cp does it */
    g_assert_cmpint(truncate(initrd_path, 0), ==, 0);
    boot_image_install(image, &cpu, NULL);
    boot_image_free(image);
    mem_read(RAM - 4096, text, 7);
    g_assert_cmpmem(text, 7, "initrd!", 7);
    mem_read(0x100000, code, sizeof(code));
    g_assert_cmpmem(code, sizeof(code), file + SETUP, sizeof(code));
}

static void test_initrd_goes_to_the_top(void)
{
    char text[8];
    make_kernel();
    write_file(initrd_path, "initrd!", 7);
    install(initrd_path, NULL);
    g_assert_cmphex(param32(0x218), ==, RAM - 4096);
    g_assert_cmpuint(param32(0x21c), ==, 7);
    mem_read(RAM - 4096, text, 7);
    g_assert_cmpmem(text, 7, "initrd!", 7);
}

static void test_initrd_stays_below_its_limit(void)
{
    make_kernel();
    put(0x22c, 0x7fffff, 4);
    write_file(initrd_path, "initrd!", 7);
    install(initrd_path, NULL);
    g_assert_cmphex(param32(0x218), ==, 0x800000 - 4096);
}

static void test_no_vga_is_shown(void)
{
    uint8_t screen[0x40];
    make_kernel();
    install(NULL, NULL);
    mem_read(BOOT_PARAMS, screen, sizeof(screen));
    g_assert_cmpuint(screen[0x06] | screen[0x07] | screen[0x0e] | screen[0x0f], ==, 0);
}

static void test_refuses_old_protocol(void)
{
    make_kernel();
    put(0x206, 0x0105, 2);
    expect_error(NULL, NULL, RAM, "boot protocol 1.05; 2.00 is the first");
}

static void test_refuses_what_has_no_room(void)
{
    make_kernel();
    file[0x1f1] = 255; /* sectors of setup code, and they are there */
    char *large = g_malloc0(256 * 512 + 600 * KiB);
    memcpy(large, file, SETUP);
    GError *error = NULL;
    write_file(kernel_path, large, 256 * 512 + 600 * KiB);
    g_assert_null(boot_image_open(kernel_path, NULL, NULL, RAM, &error));
    g_assert_nonnull(strstr(error->message, "128 KiB of setup code"));
    g_clear_error(&error);
    large[0x1f1] = 1;
    large[0x211] = 0;
    write_file(kernel_path, large, 256 * 512 + 600 * KiB);
    g_assert_null(boot_image_open(kernel_path, NULL, NULL, RAM, &error));
    g_assert_nonnull(strstr(error->message, "a zImage of 727 KiB; 512 are possible"));
    g_clear_error(&error);
    g_free(large);
}

static void test_refuses_64_bit_kernel(void)
{
    make_kernel();
    put(0x236, 0x0001, 2);
    expect_error(NULL, NULL, RAM, "64-bit");
}

static void test_refuses_truncated(void)
{
    make_kernel();
    file_len = SETUP + 2000;
    expect_error(NULL, NULL, RAM, "truncated");
    file_len = 0x210;
    expect_error(NULL, NULL, RAM, "truncated");
}

static void test_refuses_empty_directory_missing(void)
{
    GError *error = NULL;
    make_kernel();
    file_len = 0;
    expect_error(NULL, NULL, RAM, "is empty");
    g_assert_null(boot_image_open(dir, NULL, NULL, RAM, &error));
    g_assert_nonnull(strstr(error->message, "is a directory"));
    g_clear_error(&error);
    g_assert_null(boot_image_open("/nonexistent/kernel", NULL, NULL, RAM, &error));
    g_assert_nonnull(strstr(error->message, "there is no such file"));
    g_clear_error(&error);
}

static void test_refuses_what_is_no_kernel(void)
{
    make_kernel();
    memcpy(file + 0x202, "NONE", 4);
    expect_error(NULL, NULL, RAM, "neither a Linux bzImage nor a multiboot");
    memcpy(file, "\177ELF", 4);
    expect_error(NULL, NULL, RAM, "without a multiboot header");
}

static void test_refuses_too_large_for_ram(void)
{
    make_kernel();
    put(0x260, 64 * MiB, 4); /* init_size */
    expect_error(NULL, NULL, RAM, "give more with -m");
}

static void test_refuses_initrd_missing_or_too_large(void)
{
    char *big = g_malloc0(31 * MiB);
    make_kernel();
    expect_error("/nonexistent/initrd", NULL, RAM, "there is no such file");
    write_file(initrd_path, big, 31 * MiB);
    expect_error(initrd_path, NULL, RAM, "does not fit");
    g_free(big);
}

static void test_refuses_long_command_line(void)
{
    char *text = g_strnfill(256, 'x');
    make_kernel();
    expect_error(NULL, text, RAM, "256 bytes long; this kernel takes 255");
    g_free(text);
}

static void test_survives_any_header(void)
{
    /* Random headers must be loaded or refused, never crash. The seed is printed by -v of GTest. */
    for (int i = 0; i < 300; i++) {
        GError *error = NULL;
        make_kernel();
        for (unsigned at = 0x1f1; at < 0x268; at++) {
            if (g_test_rand_bit() && (at < 0x1fe || at > 0x206))
                file[at] = (uint8_t)g_test_rand_int();
        }
        struct boot_image *image = open_image(NULL, "x", RAM, &error);
        g_assert_true((image != NULL) != (error != NULL));
        if (image) {
            static const struct e820_map bios = {1, {{0, 0x90000, E820_RAM}}};
            struct cpu cpu = {0};
            boot_image_install(image, &cpu, NULL);
            boot_image_install(image, &cpu, &bios);
            boot_image_free(image);
        }
        g_clear_error(&error);
    }
}

/* What the BIOS data area says about the screen is what the kernel is told. */
static void test_text_screen_is_shown(void)
{
    static const uint8_t mode[] = {3, 80}, port[] = {0xd4, 0x03}, rows[] = {24, 16}, cursor[] = {2, 7};
    uint8_t screen[0x40];
    make_kernel();
    mem_write(0x449, mode, sizeof(mode));
    mem_write(0x463, port, sizeof(port));
    mem_write(0x484, rows, sizeof(rows));
    mem_write(0x450, cursor, sizeof(cursor));
    install(NULL, NULL);
    mem_read(BOOT_PARAMS, screen, sizeof(screen));
    g_assert_cmpuint(screen[0x00], ==, 2);
    g_assert_cmpuint(screen[0x01], ==, 7);
    g_assert_cmpuint(screen[0x06], ==, 3);
    g_assert_cmpuint(screen[0x07], ==, 80);
    g_assert_cmpuint(screen[0x0e], ==, 25);
    g_assert_cmpuint(screen[0x0f], ==, 1);
    g_assert_cmpuint(screen[0x10], ==, 16);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    g_test_init(&argc, &argv, NULL);
    g_assert_true(mem_init(RAM, &error));
    dir = g_dir_make_tmp("ringer-XXXXXX", NULL);
    kernel_path = g_build_filename(dir, "kernel", NULL);
    initrd_path = g_build_filename(dir, "initrd", NULL);
    g_test_add_func("/loader_linux/cpu_state", test_cpu_state);
    g_test_add_func("/loader_linux/gdt_matches_the_caches", test_gdt_matches_the_caches);
    g_test_add_func("/loader_linux/code_is_loaded", test_code_is_loaded);
    g_test_add_func("/loader_linux/header_is_copied", test_header_is_copied);
    g_test_add_func("/loader_linux/command_line", test_command_line);
    g_test_add_func("/loader_linux/rsdp_is_named", test_rsdp_is_named);
    g_test_add_func("/loader_linux/memory_map", test_memory_map);
    g_test_add_func("/loader_linux/real_mode", test_real_mode);
    g_test_add_func("/loader_linux/real_mode_of_a_new_kernel", test_real_mode_of_a_new_kernel);
    g_test_add_func("/loader_linux/files_may_change", test_files_may_change);
    g_test_add_func("/loader_linux/initrd_goes_to_the_top", test_initrd_goes_to_the_top);
    g_test_add_func("/loader_linux/initrd_stays_below_its_limit", test_initrd_stays_below_its_limit);
    g_test_add_func("/loader_linux/no_vga_is_shown", test_no_vga_is_shown);
    g_test_add_func("/loader_linux/text_screen_is_shown", test_text_screen_is_shown);
    g_test_add_func("/loader_linux/refuses_old_protocol", test_refuses_old_protocol);
    g_test_add_func("/loader_linux/refuses_what_has_no_room", test_refuses_what_has_no_room);
    g_test_add_func("/loader_linux/refuses_64_bit_kernel", test_refuses_64_bit_kernel);
    g_test_add_func("/loader_linux/refuses_truncated", test_refuses_truncated);
    g_test_add_func("/loader_linux/refuses_empty_directory_missing", test_refuses_empty_directory_missing);
    g_test_add_func("/loader_linux/refuses_what_is_no_kernel", test_refuses_what_is_no_kernel);
    g_test_add_func("/loader_linux/refuses_too_large_for_ram", test_refuses_too_large_for_ram);
    g_test_add_func("/loader_linux/refuses_initrd_missing_or_too_large", test_refuses_initrd_missing_or_too_large);
    g_test_add_func("/loader_linux/refuses_long_command_line", test_refuses_long_command_line);
    g_test_add_func("/loader_linux/survives_any_header", test_survives_any_header);
    int rc = g_test_run();
    g_remove(kernel_path);
    g_remove(initrd_path);
    g_rmdir(dir);
    return rc;
}
