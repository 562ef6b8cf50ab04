/* Loading a kernel: what `-kernel` does when our BIOS asks for it, or where none runs. One boot_image per machine,
 * installed at each reset. */
#pragma once

#include <glib.h>

#include "cpu.h"

struct boot_image;

/* Where loaders put what they hand over, below 640 KiB. */
#define BOOT_GDT     0x8f000u
#define BOOT_PARAMS  0x90000u /* Linux: the zero page; multiboot: the information structure */
#define BOOT_CMDLINE 0x91000u
#define BOOT_LOW_END 0x9f000u

#define BOOT_CS 0x10
#define BOOT_DS 0x18

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

/* Reads and checks everything; no guest memory is touched. initrd and append may be NULL. */
struct boot_image *boot_image_open(const char *kernel, const char *initrd, const char *append, uint64_t ram_size,
                                   GError **error);
void boot_image_free(struct boot_image *image);
/* Copies it to guest memory and sets the CPU up as the boot protocol wants. After cpu_reset(). map: what the BIOS
 * says about memory; NULL where no BIOS ran. */
void boot_image_install(const struct boot_image *image, struct cpu *cpu, const struct e820_map *map);

/* --- for the loaders --- */

enum boot_error { BOOT_ERROR_FILE, BOOT_ERROR_FORMAT, BOOT_ERROR_SPACE };
GQuark boot_error_quark(void);
#define BOOT_ERROR boot_error_quark()

/* A regular file mapped into memory; NULL and a sentence otherwise. what: "kernel", "initrd". */
GMappedFile *boot_map_file(const char *what, const char *path, GError **error);
/* 32-bit protected mode, flat 4 GiB segments BOOT_CS and BOOT_DS with their GDT in guest memory, interrupts
 * off, no paging. */
void boot_set_flat_mode(struct cpu *cpu, uint32_t eip);

struct linux_image;
bool linux_is_kernel(const uint8_t *file, size_t len);
struct linux_image *linux_image_new(const char *path, GMappedFile *kernel, const char *initrd, const char *append,
                                    uint64_t ram_size, GError **error);
void linux_image_free(struct linux_image *image);
void linux_image_install(const struct linux_image *image, struct cpu *cpu, const struct e820_map *map);

struct multiboot_image;
bool multiboot_is_kernel(const uint8_t *file, size_t len);
struct multiboot_image *multiboot_image_new(const char *path, GMappedFile *kernel, const char *modules,
                                            const char *append, uint64_t ram_size, GError **error);
void multiboot_image_free(struct multiboot_image *image);
void multiboot_image_install(const struct multiboot_image *image, struct cpu *cpu, const struct e820_map *map);
