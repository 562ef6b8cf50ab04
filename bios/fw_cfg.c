/* QEMU's firmware configuration device (docs/specs/fw_cfg in its sources): what the user asked for. Optional. */
#include "bios.h"

#define SELECTOR 0x510
#define DATA     0x511

static void read_item(uint16_t selector, void *to, uint32_t len)
{
    uint8_t *at = to;
    outw(SELECTOR, selector);
    while (len--)
        *at++ = inb(DATA);
}

static bool is_present(void)
{
    char signature[4];
    read_item(FW_CFG_SIGNATURE, signature, 4);
    return memcmp(signature, "QEMU", 4) == 0;
}

uint16_t fw_cfg_u16(uint16_t selector, uint16_t otherwise)
{
    uint16_t value = otherwise;
    if (is_present())
        read_item(selector, &value, 2);
    return value;
}

struct file {
    uint32_t size;
    uint16_t selector;
};

/* File number index of those whose name begins so. The directory is big endian. */
static bool find_file(const char *prefix, unsigned index, struct file *file)
{
    struct {
        uint32_t size;
        uint16_t selector, reserved;
        char name[56];
    } entry;
    uint32_t count, len = strlen(prefix);

    if (!is_present())
        return false;
    read_item(FW_CFG_FILE_DIR, &count, 4);
    count = __builtin_bswap32(count);
    for (uint32_t i = 0; i < count && i < 256; i++) {
        for (uint32_t n = 0; n < sizeof(entry); n++)
            ((uint8_t *)&entry)[n] = inb(DATA);
        if (memcmp(entry.name, prefix, len) == 0 && !index--) {
            file->size = __builtin_bswap32(entry.size);
            file->selector = (uint16_t)(entry.selector << 8 | entry.selector >> 8);
            return true;
        }
    }
    return false;
}

/* Files with numbers in them are little endian. */
uint16_t fw_cfg_file_u16(const char *name, uint16_t otherwise)
{
    struct file file;
    uint16_t value = 0;
    if (!find_file(name, 0, &file))
        return otherwise;
    read_item(file.selector, &value, file.size < 2 ? 1 : 2);
    return value;
}

uint32_t fw_cfg_load(const char *prefix, unsigned index, uint32_t to, uint32_t room)
{
    struct file file;
    if (!find_file(prefix, index, &file) || file.size > room)
        return 0;
    outw(SELECTOR, file.selector);
    for (uint32_t n = 0; n < file.size; n++, to++)
        poke8((uint16_t)(to >> 4), (uint16_t)(to & 15), inb(DATA));
    return file.size;
}
