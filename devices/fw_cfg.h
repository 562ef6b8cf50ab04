/* QEMU's firmware configuration device (docs/specs/fw_cfg in QEMU's sources): how firmware and test kernels
 * learn what the machine was built with. */
#pragma once

#include "device.h"

struct fw_cfg;

/* Well-known selectors. */
#define FW_CFG_SIGNATURE  0x00
#define FW_CFG_ID         0x01
#define FW_CFG_RAM_SIZE   0x03 /* bytes, 64 bits */
#define FW_CFG_NOGRAPHIC  0x04
#define FW_CFG_NB_CPUS    0x05
#define FW_CFG_BOOT_MENU  0x0e
#define FW_CFG_MAX_CPUS   0x0f
#define FW_CFG_FILE_DIR   0x19
#define FW_CFG_FILE_FIRST 0x20

struct fw_cfg *fw_cfg_new(void);
void fw_cfg_free(struct fw_cfg *fw);
/* A long DMA transfer goes on each time fw_cfg_bus_granted() is called after a pulse of this wire. */
void fw_cfg_set_bus_request(struct fw_cfg *fw, struct irq bus_request);
void fw_cfg_bus_granted(void *fw);
/* Items are little endian as QEMU has them; bytes are copied. Adding a selector again replaces it. */
void fw_cfg_add(struct fw_cfg *fw, uint16_t selector, const void *bytes, size_t len);
void fw_cfg_add_u16(struct fw_cfg *fw, uint16_t selector, uint16_t value);
void fw_cfg_add_u64(struct fw_cfg *fw, uint16_t selector, uint64_t value);
/* A named file (at most 55 characters); the directory is kept sorted by name. */
void fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *bytes, size_t len);

extern const struct device_class fw_cfg_class;
