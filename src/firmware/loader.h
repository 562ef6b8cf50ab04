/* Loading a kernel: what `-kernel` does when our BIOS asks for it, or where none runs. One boot_image per machine,
 * installed at each reset. */
#pragma once

#include <glib.h>

#include "cpu.h"

struct boot_image;

/* Where loaders put what they hand over, below 640 KiB. (A Linux kernel that starts in real mode: see loader_linux.c.)
 */
#define BOOT_GDT     0x8f000u
#define BOOT_PARAMS  0x90000u /* Linux: the zero page; multiboot: the information structure */
#define BOOT_CMDLINE 0x91000u
#define BOOT_LOW_END 0x9f000u

/* Selectors of the code segment; the data segment's is the next. Linux's are in its boot protocol; multiboot kernels
 * may not count on any, but many have been written against QEMU, whose are these. */
#define BOOT_CS_LINUX     0x10
#define BOOT_CS_MULTIBOOT 0x08

#define E820_RAM      1u
#define E820_RESERVED 2u

struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));

#define E820_MAX 16
struct e820_map {
    uint32_t count;
    struct e820_entry entry[E820_MAX];
};

/* Reads and checks everything, and keeps it: the files are not looked at again. No guest memory is touched. initrd and
 * append may be NULL. */
struct boot_image *boot_image_open(const char *kernel, const char *initrd, const char *append, uint64_t ram_size,
                                   GError **error);
void boot_image_free(struct boot_image *image);
/* It starts in real mode and calls the BIOS. */
bool boot_image_needs_bios(const struct boot_image *image);
/* Copies it to guest memory and sets the CPU up as the boot protocol wants. After cpu_reset(). map: what the BIOS
 * says about memory; NULL where no BIOS ran. */
void boot_image_install(const struct boot_image *image, struct cpu *cpu, const struct e820_map *map);

/* --- for the loaders --- */

enum boot_error { BOOT_ERROR_FILE, BOOT_ERROR_FORMAT, BOOT_ERROR_SPACE };
GQuark boot_error_quark(void);
#define BOOT_ERROR boot_error_quark()

/* A file's bytes; NULL and a sentence otherwise. what: "kernel", "initrd". */
GBytes *boot_read_file(const char *what, const char *path, GError **error);
static inline const uint8_t *boot_bytes(GBytes *file)
{
    return g_bytes_get_data(file, NULL);
}
/* 32-bit protected mode, flat 4 GiB segments (code, and data in the next descriptor) with their GDT in guest memory,
 * interrupts off, no paging. */
void boot_set_flat_mode(struct cpu *cpu, uint16_t code, uint32_t eip);
/* Real mode, interrupts off; segment is everybody's but CS's. */
void boot_set_real_mode(struct cpu *cpu, uint16_t code, uint16_t ip, uint16_t segment, uint16_t sp);

struct linux_image;
bool linux_is_kernel(const uint8_t *file, size_t len);
struct linux_image *linux_image_new(const char *path, GBytes *kernel, const char *initrd, const char *append,
                                    uint64_t ram_size, GError **error);
void linux_image_free(struct linux_image *image);
bool linux_image_needs_bios(const struct linux_image *image);
void linux_image_install(const struct linux_image *image, struct cpu *cpu, const struct e820_map *map, bool has_bios);

struct multiboot_image;
bool multiboot_is_kernel(const uint8_t *file, size_t len);
struct multiboot_image *multiboot_image_new(const char *path, GBytes *kernel, const char *modules, const char *append,
                                            uint64_t ram_size, GError **error);
void multiboot_image_free(struct multiboot_image *image);
void multiboot_image_install(const struct multiboot_image *image, struct cpu *cpu, const struct e820_map *map);
