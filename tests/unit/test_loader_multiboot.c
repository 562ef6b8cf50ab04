/* Multiboot 1: made-up kernels, what is refused and what the kernel is handed. */
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "cpu.h"
#include "firmware/loader.h"
#include "mem.h"

#define RAM (32 * MiB)

static char *dir, *kernel_path, *module_path;
static uint8_t file[16384];
static size_t file_len;

static void put_header(unsigned at, uint32_t flags)
{
    uint32_t header[3] = {0x1badb002, flags, 0u - 0x1badb002 - flags};
    memcpy(file + at, header, sizeof(header));
}

/* ELF32: 256 bytes of code at 1 MiB from file offset 4096, 512 in memory; header inside the code. */
static void make_elf(void)
{
    Elf32_Ehdr ehdr = {.e_type = ET_EXEC,
                       .e_machine = EM_386,
                       .e_version = 1,
                       .e_entry = 0x100020,
                       .e_phoff = sizeof(Elf32_Ehdr),
                       .e_ehsize = sizeof(Elf32_Ehdr),
                       .e_phentsize = sizeof(Elf32_Phdr),
                       .e_phnum = 1};
    Elf32_Phdr phdr = {
        .p_type = PT_LOAD, .p_offset = 4096, .p_vaddr = 0x100000, .p_paddr = 0x100000, .p_filesz = 256, .p_memsz = 512};
    memcpy(ehdr.e_ident, "\177ELF\1\1\1", 7);
    memset(file, 0, sizeof(file));
    memcpy(file, &ehdr, sizeof(ehdr));
    memcpy(file + sizeof(ehdr), &phdr, sizeof(phdr));
    memset(file + 4096, 0x90, 256);
    put_header(4096, 0);
    file_len = 4096 + 256;
}

static Elf32_Phdr *phdr_of(void)
{
    return (Elf32_Phdr *)(void *)(file + sizeof(Elf32_Ehdr));
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
}

static struct boot_image *open_image(const char *modules, const char *append, GError **error)
{
    write_file(kernel_path, file, file_len);
    return boot_image_open(kernel_path, modules, append, RAM, error);
}

static void expect_error(const char *modules, const char *append, const char *what)
{
    GError *error = NULL;
    g_assert_null(open_image(modules, append, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, what))
        g_error("'%s' does not say '%s'", error->message, what);
    g_error_free(error);
}

static struct cpu *install(const char *modules, const char *append)
{
    static struct cpu cpu;
    GError *error = NULL;
    struct boot_image *image = open_image(modules, append, &error);
    g_assert_no_error(error);
    memset(&cpu, 0xcc, sizeof(cpu));
    boot_image_install(image, &cpu, NULL);
    boot_image_free(image);
    return &cpu;
}

static uint32_t read32(uint32_t gpa)
{
    uint32_t value;
    mem_read(gpa, &value, 4);
    return value;
}

static uint32_t info(unsigned offset)
{
    return read32(BOOT_PARAMS + offset);
}

static const char *string_at(uint32_t gpa)
{
    static char text[256];
    mem_read(gpa, text, sizeof(text) - 1);
    return text;
}

static void test_cpu_state(void)
{
    make_elf();
    struct cpu *cpu = install(NULL, NULL);
    g_assert_cmphex(cpu->gpr[EAX], ==, 0x2badb002);
    g_assert_cmphex(cpu->gpr[EBX], ==, BOOT_PARAMS);
    g_assert_cmphex(cpu->eip, ==, 0x100020);
    g_assert_cmphex(cpu->cr0 & (CR0_PE | CR0_PG), ==, CR0_PE);
    g_assert_cmphex(cpu->eflags & (FL_IF | FL_VM), ==, 0);
    g_assert_cmphex(cpu->seg[SEG_ES].limit, ==, 0xffffffffu);
}

static void test_elf_segment_and_bss(void)
{
    uint8_t memory[512], zeroes[256] = {0};
    make_elf();
    memset(memory, 0xff, sizeof(memory));
    mem_write(0x100000, memory, sizeof(memory));
    install(NULL, NULL);
    mem_read(0x100000, memory, sizeof(memory));
    g_assert_cmpmem(memory, 256, file + 4096, 256);
    g_assert_cmpmem(memory + 256, 256, zeroes, 256);
}

static void test_entry_of_a_high_linked_kernel(void)
{
    make_elf();
    phdr_of()->p_vaddr = 0xc0100000;
    ((Elf32_Ehdr *)(void *)file)->e_entry = 0xc0100040;
    g_assert_cmphex(install(NULL, NULL)->eip, ==, 0x100040);
}

static void test_aout_kludge(void)
{
    memset(file, 0, sizeof(file));
    file_len = 4096;
    memset(file + 0x100, 0x90, 0x300);
    put_header(0x200, 0x10000);
    /* header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr: the image starts at file offset 100h */
    uint32_t addresses[5] = {0x200100, 0x200000, 0x200300, 0x200400, 0x200010};
    memcpy(file + 0x20c, addresses, sizeof(addresses));
    struct cpu *cpu = install(NULL, NULL);
    uint8_t memory[0x300];
    g_assert_cmphex(cpu->eip, ==, 0x200010);
    mem_read(0x200000, memory, sizeof(memory));
    g_assert_cmpmem(memory, sizeof(memory), file + 0x100, 0x300);
    g_assert_cmphex(read32(0x200300), ==, 0);
}

static void test_aout_end_zero_means_whole_file(void)
{
    memset(file, 0x5a, sizeof(file));
    file_len = 4096;
    put_header(0, 0x10000);
    uint32_t addresses[5] = {0x200000, 0x200000, 0, 0, 0x200020};
    memcpy(file + 12, addresses, sizeof(addresses));
    install(NULL, NULL);
    g_assert_cmphex(read32(0x200ffc), ==, 0x5a5a5a5a);
}

static void test_memory_sizes_and_map(void)
{
    make_elf();
    install(NULL, NULL);
    g_assert_cmphex(info(0) & 0x041, ==, 0x041);
    g_assert_cmpuint(info(4), ==, 639);
    g_assert_cmpuint(info(8), ==, (RAM - MiB) / KiB);
    uint32_t length = info(44), at = info(48), usable = 0;
    for (uint32_t pos = 0; pos < length; pos += read32(at + pos) + 4) {
        g_assert_cmpuint(read32(at + pos), ==, 20);
        if (read32(at + pos + 20) == 1)
            usable += read32(at + pos + 12);
    }
    g_assert_cmphex(usable, ==, RAM - MiB + 0x9fc00);
}

static void test_command_line_and_name(void)
{
    make_elf();
    install(NULL, "-v test");
    char *want = g_strconcat(kernel_path, " -v test", NULL);
    g_assert_cmphex(info(0) & 0x204, ==, 0x204);
    g_assert_cmpstr(string_at(info(16)), ==, want);
    g_assert_cmpstr(string_at(info(64)), ==, "ringer");
    g_free(want);
}

static void test_modules(void)
{
    make_elf();
    write_file(module_path, "module", 6);
    char *list = g_strdup_printf("%s first,%s second,,with comma", module_path, module_path);
    install(list, NULL);
    g_assert_cmpuint(info(20), ==, 2);
    uint32_t table = info(24);
    uint32_t start = read32(table), end = read32(table + 4);
    g_assert_cmpuint(end - start, ==, 6);
    g_assert_cmphex(start & 0xfff, ==, 0);
    g_assert_cmphex(start, >=, 0x100200);
    g_assert_cmpmem(string_at(start), 6, "module", 6);
    g_assert_true(g_str_has_suffix(string_at(read32(table + 8)), "module first"));
    g_assert_cmphex(read32(table + 16), >, start);
    g_assert_true(g_str_has_suffix(string_at(read32(table + 24)), "module second,with comma"));
    g_free(list);
}

static void test_header_is_searched_in_8_kib_only(void)
{
    make_elf();
    memset(file + 4096, 0x90, 12);
    file_len = 12000;
    put_header(8192, 0);
    expect_error(NULL, NULL, "without a multiboot header");
    put_header(8180, 0);
    GError *error = NULL;
    struct boot_image *image = open_image(NULL, NULL, &error);
    g_assert_no_error(error);
    boot_image_free(image);
}

static void test_bad_checksum_is_no_header(void)
{
    make_elf();
    file[4096 + 8] ^= 1;
    expect_error(NULL, NULL, "without a multiboot header");
}

static void test_refuses_unknown_demands(void)
{
    make_elf();
    put_header(4096, 0x8);
    expect_error(NULL, NULL, "unknown multiboot features");
}

static void test_refuses_64_bit_elf(void)
{
    make_elf();
    file[EI_CLASS] = ELFCLASS64;
    expect_error(NULL, NULL, "not a 32-bit x86 ELF");
}

static void test_refuses_truncated(void)
{
    make_elf();
    file_len = 4096 + 100;
    expect_error(NULL, NULL, "truncated");
    make_elf();
    ((Elf32_Ehdr *)(void *)file)->e_phnum = 1000;
    expect_error(NULL, NULL, "truncated");
}

static void test_refuses_too_large(void)
{
    make_elf();
    phdr_of()->p_memsz = RAM;
    expect_error(NULL, NULL, "give more with -m");
    make_elf();
    phdr_of()->p_paddr = 0xfffff000;
    expect_error(NULL, NULL, "give more with -m");
}

static void test_refuses_to_overwrite_boot_information(void)
{
    make_elf();
    phdr_of()->p_paddr = BOOT_PARAMS;
    expect_error(NULL, NULL, "boot information");
}

static void test_refuses_missing_or_large_module(void)
{
    char *big = g_malloc0(RAM);
    make_elf();
    expect_error("/nonexistent/module", NULL, "there is no such file");
    write_file(module_path, big, RAM);
    expect_error(module_path, NULL, "does not fit");
    g_free(big);
}

static void test_refuses_long_strings(void)
{
    char *text = g_strnfill(70000, 'x');
    make_elf();
    expect_error(NULL, text, "take more than");
    g_free(text);
}

static void test_survives_any_header(void)
{
    for (int i = 0; i < 300; i++) {
        GError *error = NULL;
        make_elf();
        if (g_test_rand_bit()) {
            put_header(64, 0x10000);
            for (unsigned at = 76; at < 96; at++)
                file[at] = g_test_rand_bit() ? (uint8_t)g_test_rand_int() : 0;
        }
        for (unsigned at = 24; at < 64; at++) {
            if (g_test_rand_bit())
                file[at] = (uint8_t)g_test_rand_int();
        }
        struct boot_image *image = open_image(NULL, NULL, &error);
        g_assert_true((image != NULL) != (error != NULL));
        if (image) {
            struct cpu cpu = {0};
            boot_image_install(image, &cpu, NULL);
            boot_image_free(image);
        }
        g_clear_error(&error);
    }
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    g_test_init(&argc, &argv, NULL);
    g_assert_true(mem_init(RAM, &error));
    dir = g_dir_make_tmp("ringer-XXXXXX", NULL);
    kernel_path = g_build_filename(dir, "kernel", NULL);
    module_path = g_build_filename(dir, "module", NULL);
    g_test_add_func("/loader_multiboot/cpu_state", test_cpu_state);
    g_test_add_func("/loader_multiboot/elf_segment_and_bss", test_elf_segment_and_bss);
    g_test_add_func("/loader_multiboot/entry_of_a_high_linked_kernel", test_entry_of_a_high_linked_kernel);
    g_test_add_func("/loader_multiboot/aout_kludge", test_aout_kludge);
    g_test_add_func("/loader_multiboot/aout_end_zero_means_whole_file", test_aout_end_zero_means_whole_file);
    g_test_add_func("/loader_multiboot/memory_sizes_and_map", test_memory_sizes_and_map);
    g_test_add_func("/loader_multiboot/command_line_and_name", test_command_line_and_name);
    g_test_add_func("/loader_multiboot/modules", test_modules);
    g_test_add_func("/loader_multiboot/header_is_searched_in_8_kib_only", test_header_is_searched_in_8_kib_only);
    g_test_add_func("/loader_multiboot/bad_checksum_is_no_header", test_bad_checksum_is_no_header);
    g_test_add_func("/loader_multiboot/refuses_unknown_demands", test_refuses_unknown_demands);
    g_test_add_func("/loader_multiboot/refuses_64_bit_elf", test_refuses_64_bit_elf);
    g_test_add_func("/loader_multiboot/refuses_truncated", test_refuses_truncated);
    g_test_add_func("/loader_multiboot/refuses_too_large", test_refuses_too_large);
    g_test_add_func("/loader_multiboot/refuses_to_overwrite_boot_information",
                    test_refuses_to_overwrite_boot_information);
    g_test_add_func("/loader_multiboot/refuses_missing_or_large_module", test_refuses_missing_or_large_module);
    g_test_add_func("/loader_multiboot/refuses_long_strings", test_refuses_long_strings);
    g_test_add_func("/loader_multiboot/survives_any_header", test_survives_any_header);
    int rc = g_test_run();
    g_remove(kernel_path);
    g_remove(module_path);
    g_rmdir(dir);
    return rc;
}
