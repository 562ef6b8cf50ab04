/* What the parts of the system BIOS know of each other. README.md has the memory model. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/far.h"
#include "lib/io.h"
#include "lib/regs.h"
#include "pure.h"

#define DATA_SEG 0xe000
#define CODE_SEG 0xf000

/* BIOS data area, segment 40h (IBM AT Technical Reference; PS/2 BIOS Interface, section 3) */
#define BDA_SEG          0x40
#define BDA_COM          0x00
#define BDA_LPT          0x08
#define BDA_EBDA         0x0e /* in the place of LPT4 */
#define BDA_EQUIPMENT    0x10
#define BDA_MEM_KIB      0x13
#define BDA_KBD_FLAGS0   0x17
#define BDA_KBD_FLAGS1   0x18
#define BDA_ALT_KEYPAD   0x19
#define BDA_KBD_HEAD     0x1a
#define BDA_KBD_TAIL     0x1c
#define BDA_KBD_BUFFER   0x1e
#define BDA_FD_RECAL     0x3e
#define BDA_FD_MOTOR     0x3f
#define BDA_FD_MOTOR_OFF 0x40
#define BDA_FD_STATUS    0x41
#define BDA_FD_RESULT    0x42
#define BDA_VIDEO_MODE   0x49
#define BDA_RESUME       0x67
#define BDA_TICKS        0x6c
#define BDA_MIDNIGHT     0x70
#define BDA_BREAK        0x71
#define BDA_RESET_FLAG   0x72
#define BDA_HD_STATUS    0x74
#define BDA_HD_COUNT     0x75
#define BDA_LPT_TIMEOUT  0x78
#define BDA_COM_TIMEOUT  0x7c
#define BDA_KBD_START    0x80
#define BDA_KBD_END      0x82
#define BDA_FD_RATE      0x8b
#define BDA_HD_INT       0x8e
#define BDA_FD_INFO      0x8f
#define BDA_FD_MEDIA     0x90
#define BDA_FD_TRACK     0x94
#define BDA_KBD_FLAGS2   0x96
#define BDA_KBD_LEDS     0x97
#define BDA_WAIT_FLAG    0x98
#define BDA_WAIT_COUNT   0x9c
#define BDA_WAIT_ACTIVE  0xa0
#define BDA_PRINT_SCREEN 0x100 /* 50:0 */

/* Extended BIOS data area, its segment in 40:0E */
#define EBDA_KIB         1
#define EBDA_SIZE        0x00
#define EBDA_MOUSE_CALL  0x22
#define EBDA_MOUSE_FLAG1 0x26
#define EBDA_MOUSE_FLAG2 0x27
#define EBDA_MOUSE_DATA  0x28
#define EBDA_FDPT0       0x3d
#define EBDA_FDPT1       0x4d

/* entry.S */
void call_far(struct bregs *regs, uint32_t seg_off, uint32_t is_int);
void yield(void);
void yield_halt(void);
void mouse_call(uint32_t seg_off, uint32_t status_x, uint32_t y);
void boot_jump(uint32_t seg_off, uint32_t edx) __attribute__((noreturn));
void pm_copy(uint32_t dest, uint32_t source, uint32_t len);
void big_real(bool big);
void block_move(uint32_t gdt, uint32_t words);
struct table_register {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));
extern struct table_register pm_gdtr, pm_idtr;
void enter_protected(struct bregs *regs) __attribute__((noreturn));
extern uint32_t shadow_mark;
extern const uint8_t is_shadow;                                    /* in the code segment */
extern const uint8_t config_table[], diskette_table[], font_8x8[]; /* in the code segment: far */

/* util.c */
void *memset(void *to, int byte, size_t len);
void *memcpy(void *to, const void *from, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *text);
void dprintf(const char *text, ...) __attribute__((format(printf, 1, 2)));
void printf(const char *text, ...) __attribute__((format(printf, 1, 2)));
void log_unknown(const char *which, const struct bregs *regs);
void call_int(uint8_t vector, struct bregs *regs);
void set_vector(uint8_t vector, uint16_t seg, uint16_t off);
uint16_t ebda_seg(void);
uint8_t cmos_read(uint8_t index);
void cmos_write(uint8_t index, uint8_t value);
struct timeout {
    uint32_t last, left;
    uint8_t refresh;
};
struct timeout timeout_start(uint32_t ms);
bool timeout_passed(struct timeout *t);
void delay_ms(uint32_t ms);
extern uint16_t pm_base;

static inline void set_cf(struct bregs *regs, bool set)
{
    regs->flags = (uint16_t)(set ? regs->flags | F_CF : regs->flags & ~F_CF);
}

static inline void set_zf(struct bregs *regs, bool set)
{
    regs->flags = (uint16_t)(set ? regs->flags | F_ZF : regs->flags & ~F_ZF);
}

static inline uint32_t read_flags(void)
{
    uint32_t flags;
    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(flags));
    return flags;
}

/* Machine status word: readable in V86 mode, too. */
static inline bool is_protected(void)
{
    uint16_t msw;
    __asm__ volatile("smsw %0" : "=r"(msw));
    return msw & 1;
}

/* Linear address of an object in our data segment. */
static inline uint32_t linear_of(const void *object)
{
    return DATA_SEG * 16 + (uint32_t)object;
}

/* pci.c */
uint32_t pci_read(uint16_t bdf, uint8_t reg, unsigned size);
void pci_write(uint16_t bdf, uint8_t reg, unsigned size, uint32_t value);
/* The next function on bus 0 that is there, from bdf on; -1 behind the last. */
int pci_next(unsigned bdf);
int pci_find_class(uint32_t class_mask, uint32_t class_code, unsigned index); /* bus:devfn or -1 */
int pci_find_device(uint16_t vendor, uint16_t device, unsigned index);
void pci_init(void);
void pci_shadow_roms(void);            /* C0000h to DFFFFh becomes RAM */
void pci_lock_roms(uint32_t used_end); /* and, to there, where ROMs are, and at F0000h, read-only */
extern uint8_t pci_max_bus;
void pci_bios(struct bregs *regs); /* INT 1Ah function B1h */
/* What its function 0Eh returns: the slots of $PIR. */
void pci_set_routing(const void *slots, uint16_t len);
uint32_t pci_map_rom(uint16_t bdf, uint32_t *size);

/* rom.c */
void rom_run_video(void);
void rom_run_others(void);
extern uint32_t rom_end; /* linear */
/* Boot entry vectors of ROMs, which are networks. */
struct bev {
    uint16_t seg, off;
    uint16_t name; /* offset of the product's name, 0: none */
    uint16_t bdf;
};
#define BEV_MAX 16
extern struct bev rom_bev[BEV_MAX];
extern unsigned rom_bev_count;
void rom_print_name(const struct bev *bev);

/* pmm.c: from the first option ROM to the last */
void pmm_begin(void);
void pmm_end(void);
void handle_pmm(struct bregs *regs);
void entry_pmm(void);

/* memory.c */
void memory_size(void);
extern uint32_t memory_below_4g; /* bytes, from 0 */
extern uint64_t memory_above_4g;
extern struct e820_entry e820_map[E820_MAX];
extern unsigned e820_count;

/* drives.c, disk.c */
enum drive_type { DRIVE_NONE, DRIVE_FLOPPY, DRIVE_HD, DRIVE_CD };

struct drive {
    uint8_t type; /* enum drive_type */
    uint8_t unit; /* floppy 0-1; IDE channel << 1 | device; number of the virtio disk */
    bool is_virtio, is_lba, is_lba48, is_dma;
    uint8_t multiple;
    uint16_t block; /* bytes in a sector */
    uint64_t sectors;
    struct geometry physical, logical;
    char model[41];
};

#define DRIVE_MAX 8
extern struct drive drives[DRIVE_MAX];
extern uint8_t floppy_count, hd_count, cd_count;
extern uint8_t floppy_map[2], hd_map[4], cd_map[4]; /* index into drives */

/* One piece of work for a drive; returns an INT 13h status. */
struct transfer {
    struct drive *drive;
    uint64_t lba;
    uint32_t count;
    uint16_t seg, off;
    bool is_write, is_verify;
};
uint8_t disk_transfer(struct transfer *t);
struct drive *drive_add(enum drive_type type);
void drives_announce(void); /* all hard disks have been found */

/* virtio.c */
void virtio_init(void);
uint8_t virtio_transfer(struct transfer *t);
uint16_t virtio_bdf(const struct drive *drive);

/* ata.c */
void ata_init(void);
uint8_t ata_transfer(struct transfer *t);
uint8_t atapi_read(struct drive *drive, uint32_t lba, uint32_t count, uint16_t seg, uint16_t off);
uint8_t atapi_packet(struct drive *drive, const uint8_t cdb[12], uint16_t seg, uint16_t off, uint32_t len,
                     uint32_t *got);
uint8_t atapi_ready(struct drive *drive); /* waits for a medium, reads its size; status */
uint8_t ata_recalibrate(struct drive *drive);
void ata_ports(const struct drive *drive, uint16_t *command, uint16_t *control, uint8_t *irq);
uint16_t ata_bus_master(const struct drive *drive);

/* floppy.c */
void floppy_init(void);
void floppy_13(struct bregs *regs);
void floppy_tick(void);

/* cdrom.c */
struct cd_emulation {
    bool active;
    uint8_t media;      /* El Torito media type: 0 none, 1-3 floppy, 4 hard disk */
    uint8_t number;     /* INT 13h drive */
    uint8_t drive;      /* index into drives */
    uint32_t image_lba; /* in 2048-byte blocks */
    uint16_t load_seg, sectors;
    struct geometry geometry;
    uint32_t size; /* 512-byte sectors */
};
extern struct cd_emulation cd_emulation;
uint8_t cd_boot(struct drive *drive, uint16_t *seg, uint8_t *number); /* loads the boot image; 0 or an error */
uint8_t cd_emulated_transfer(struct transfer *t);
uint8_t cd_13_4a(struct bregs *regs); /* 4Ah to 4Dh; INT 13h status */

/* kbd.c, mouse.c, clock.c, serial.c */
void kbd_init(void);
bool kbd_pressed_during(uint32_t ms, uint16_t *key);
uint16_t kbd_wait(void);
void kbd_write_command(uint8_t command);
bool kbd_wait_input(void);
void mouse_15(struct bregs *regs);
void clock_init(void);
void clock_15_83(struct bregs *regs);
void clock_15_86(struct bregs *regs);
void serial_init(void);

/* tables.c, apm.c */
void tables_build(void);
void tables_finish(void);
/* Puts a table where it is searched for, on a paragraph of the code segment; its offset there. */
uint16_t tables_put(const void *bytes, uint32_t len);
void apm_15(struct bregs *regs);

/* fw_cfg.c: what is not there is as `otherwise` says. */
#define FW_CFG_SIGNATURE 0x00
#define FW_CFG_BOOT_MENU 0x0e
#define FW_CFG_FILE_DIR  0x19
uint16_t fw_cfg_u16(uint16_t selector, uint16_t otherwise);
uint16_t fw_cfg_file_u16(const char *name, uint16_t otherwise);
/* Copies file number index of those whose name begins so to a linear address below 1 MiB: its size, 0 if there is none
 * or no room for it. */
uint32_t fw_cfg_load(const char *prefix, unsigned index, uint32_t to, uint32_t room);

/* bootorder.c */
void bootorder_sort_disks(void); /* all are there, nobody has used their numbers */
void bootorder_add(void);        /* calls boot_add() for each */

/* boot.c */
enum boot_kind { BOOT_NONE, BOOT_FLOPPY, BOOT_HD, BOOT_CD, BOOT_NET }; /* as in CMOS RAM */
void boot_add(uint8_t kind, uint8_t index);
void boot(void) __attribute__((noreturn));

/* Interrupts, called by the stubs. */
/* clang-format off */
#define HANDLERS(X) \
    X(02) X(05) X(08) X(09) X(0e) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(1a) X(40) X(70) \
    X(74) X(75) X(76) X(irq_master) X(irq_slave) X(unknown)
/* clang-format on */
#define DECLARE(name) \
    void handle_##name(struct bregs *regs); \
    void entry_##name(void);
HANDLERS(DECLARE)
void entry_iret(void);
void post(void) __attribute__((noreturn));
