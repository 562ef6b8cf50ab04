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

/* The directory is big endian; the files' numbers are little endian. */
uint16_t fw_cfg_file_u16(const char *name, uint16_t otherwise)
{
    struct {
        uint32_t size;
        uint16_t selector, reserved;
        char name[56];
    } entry;
    uint32_t count, len = strlen(name) + 1;

    if (!is_present())
        return otherwise;
    read_item(FW_CFG_FILE_DIR, &count, 4);
    count = __builtin_bswap32(count);
    for (uint32_t i = 0; i < count && i < 256; i++) {
        for (uint32_t n = 0; n < sizeof(entry); n++)
            ((uint8_t *)&entry)[n] = inb(DATA);
        if (memcmp(entry.name, name, len) == 0) {
            uint16_t value = 0;
            read_item((uint16_t)(entry.selector << 8 | entry.selector >> 8), &value,
                      __builtin_bswap32(entry.size) < 2 ? 1 : 2);
            return value;
        }
    }
    return otherwise;
}
