/* The port of VMware's backdoor, and what can be asked there without a device: version, time, memory, the clipboard.
 *
 * VMware's open-vm-tools (lib/include/backdoor_def.h) name the numbers; what they return is told by K. Kato, "VMware
 * Backdoor I/O Port".
 */
#include "vmport.h"

#include <string.h>

#include "clipboard.h"
#include "device.h"
#include "ioport.h"
#include "mem.h"
#include "vclock.h"

#define PORT    0x5658
#define NOTHING 0xffffffffu
#define NUMBERS 64u

enum number {
    GET_SELECTION_LENGTH = 0x06,
    GET_SELECTION_PIECE = 0x07,
    SET_SELECTION_LENGTH = 0x08,
    SET_SELECTION_PIECE = 0x09,
    GET_VERSION = 0x0a,
    GET_MEMORY_SIZE = 0x14,
    GET_TIME = 0x17,
    GET_TIME_FULL = 0x2e,
};

#define VERSION      6u /* of the backdoor's protocol */
#define PRODUCT      2u /* a server's */
#define TIME_LAG_MAX 1000000u

/* A text that is under way, in pieces of four bytes. */
struct vmport_regs {
    uint32_t get_at, set_at, set_length;
    uint8_t set[CLIPBOARD_MAX];
};

struct vmport {
    struct vmport_regs regs;
    uint64_t seen; /* the host's text that the guest has taken: clipboard.h's serial, which is this process's */
    struct {
        vmport_fn *fn;
        void *opaque;
    } calls[NUMBERS];
};

void vmport_add(struct vmport *vmport, uint16_t number, vmport_fn *fn, void *opaque)
{
    vmport->calls[number].fn = fn;
    vmport->calls[number].opaque = opaque;
}

static uint32_t call(struct vmport *vmport)
{
    uint32_t *gpr = ioport_registers();
    if (!gpr || gpr[IO_EAX] != VMPORT_MAGIC)
        return NOTHING;
    uint16_t number = (uint16_t)gpr[IO_ECX];
    if (number >= NUMBERS || !vmport->calls[number].fn)
        return NOTHING;
    return vmport->calls[number].fn(vmport->calls[number].opaque, gpr);
}

static uint32_t vmport_read(void *opaque, uint16_t port, unsigned size)
{
    return call(opaque);
}

/* OUT does the same, and returns its value in the same place. */
static void vmport_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    uint32_t *gpr = ioport_registers();
    uint32_t result = call(opaque);
    if (gpr && gpr[IO_EAX] == VMPORT_MAGIC)
        gpr[IO_EAX] = result;
}

static const struct io_ops vmport_io = {
    .widths = 4, .uses_registers = true, .read = vmport_read, .write = vmport_write};

/* --- Calls --- */

static uint32_t get_version(void *opaque, uint32_t *gpr)
{
    gpr[IO_EBX] = VMPORT_MAGIC;
    gpr[IO_ECX] = PRODUCT;
    return VERSION;
}

/* MiB. */
static uint32_t get_memory_size(void *opaque, uint32_t *gpr)
{
    return (uint32_t)(guest_mem.ram_size / MiB);
}

/* Seconds since 1970 and microseconds; the host's zone is not the guest's business: UTC. */
static uint32_t get_time(void *opaque, uint32_t *gpr)
{
    gpr[IO_EBX] = (uint32_t)(vclock_now() % NS_PER_SECOND / 1000);
    gpr[IO_ECX] = TIME_LAG_MAX;
    gpr[IO_EDX] = 0;
    return (uint32_t)vclock_wall_seconds();
}

static uint32_t get_time_full(void *opaque, uint32_t *gpr)
{
    uint64_t seconds = (uint64_t)vclock_wall_seconds();
    gpr[IO_EBX] = (uint32_t)(vclock_now() % NS_PER_SECOND / 1000);
    gpr[IO_ECX] = TIME_LAG_MAX;
    gpr[IO_EDX] = (uint32_t)seconds;
    gpr[IO_ESI] = (uint32_t)(seconds >> 32);
    return VMPORT_MAGIC;
}

/* All ones: nothing that the guest has not taken yet. */
static uint32_t get_selection_length(void *opaque, uint32_t *gpr)
{
    struct vmport *vmport = opaque;
    uint64_t serial;
    const char *text = clipboard_text(CLIPBOARD_HOST, &serial);
    if (!text || serial == vmport->seen)
        return NOTHING;
    vmport->seen = serial;
    vmport->regs.get_at = 0;
    return (uint32_t)strlen(text);
}

static uint32_t get_selection_piece(void *opaque, uint32_t *gpr)
{
    struct vmport *vmport = opaque;
    uint64_t serial;
    const char *text = clipboard_text(CLIPBOARD_HOST, &serial);
    uint32_t piece = 0, length = text ? (uint32_t)strlen(text) : 0, at = vmport->regs.get_at;
    if (at < length) {
        memcpy(&piece, text + at, MIN(length - at, 4u));
        vmport->regs.get_at = at + 4;
    }
    return piece;
}

static uint32_t set_selection_length(void *opaque, uint32_t *gpr)
{
    struct vmport_regs *regs = &((struct vmport *)opaque)->regs;
    if (gpr[IO_EBX] > CLIPBOARD_MAX)
        return NOTHING;
    regs->set_length = gpr[IO_EBX];
    regs->set_at = 0;
    return 0;
}

static uint32_t set_selection_piece(void *opaque, uint32_t *gpr)
{
    struct vmport_regs *regs = &((struct vmport *)opaque)->regs;
    uint32_t count = MIN(regs->set_length - regs->set_at, 4u);
    if (!count)
        return NOTHING;
    memcpy(regs->set + regs->set_at, &gpr[IO_EBX], count);
    regs->set_at += count;
    if (regs->set_at == regs->set_length)
        clipboard_offer(CLIPBOARD_GUEST, (const char *)regs->set, regs->set_length);
    return 0;
}

/* --- Life --- */

static void vmport_reset(void *dev)
{
    struct vmport *vmport = dev;
    memset(&vmport->regs, 0, sizeof(vmport->regs));
}

static const struct state_field vmport_fields[] = {STATE_FIELD(vmport_regs, get_at), STATE_FIELD(vmport_regs, set_at),
                                                   STATE_FIELD(vmport_regs, set_length), STATE_FIELD(vmport_regs, set)};
static const struct state_layout vmport_layout = STATE_LAYOUT(1, vmport_regs, vmport_fields);

static bool vmport_after_load(void *dev)
{
    struct vmport_regs *regs = &((struct vmport *)dev)->regs;
    return regs->set_length <= CLIPBOARD_MAX && regs->set_at <= regs->set_length && regs->get_at <= CLIPBOARD_MAX + 4;
}

static void vmport_dump(void *dev, GString *out)
{
    const struct vmport_regs *regs = &((struct vmport *)dev)->regs;
    g_string_append_printf(out, "vmport: the guest has sent %u of %u bytes\n", regs->set_at, regs->set_length);
}

static void *vmport_create(const struct device_site *site, const void *config, GError **error)
{
    static const struct {
        enum number number;
        vmport_fn *fn;
    } calls[] = {{GET_SELECTION_LENGTH, get_selection_length},
                 {GET_SELECTION_PIECE, get_selection_piece},
                 {SET_SELECTION_LENGTH, set_selection_length},
                 {SET_SELECTION_PIECE, set_selection_piece},
                 {GET_VERSION, get_version},
                 {GET_MEMORY_SIZE, get_memory_size},
                 {GET_TIME, get_time},
                 {GET_TIME_FULL, get_time_full}};
    struct vmport *vmport = g_new0(struct vmport, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        vmport_add(vmport, calls[i].number, calls[i].fn, vmport);
    ioport_register(PORT, 4, &vmport_io, vmport, "vmport");
    board_provide(site->board, "vmport", vmport);
    return vmport;
}

static void vmport_destroy(void *dev)
{
    ioport_unregister(PORT, 4);
    g_free(dev);
}

const struct device_class vmport_class = {
    .name = "vmport",
    .help = "VMware's backdoor: version, time, memory, clipboard",
    .bus = BUS_ISA,
    .internal = true,
    .create = vmport_create,
    .destroy = vmport_destroy,
    .reset = vmport_reset,
    .layout = &vmport_layout,
    .regs_offset = offsetof(struct vmport, regs),
    .after_load = vmport_after_load,
    .dump = vmport_dump,
};
DEVICE_CLASS(vmport_class);
