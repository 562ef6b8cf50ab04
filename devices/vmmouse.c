/* VMware's mouse, behind the backdoor's port: positions instead of moves, for guests whose driver asks for them.
 *
 * What happens to the pointer is kept in words of 32 bits, four for each event: buttons, x, y, z. The driver is told by
 * an empty report of the PS/2 mouse, whose driver it is, too. Numbers: the X.Org driver xf86-input-vmmouse
 * (shared/vmmouse_defs.h).
 */
#include <string.h>

#include "device.h"
#include "input.h"
#include "ioport.h"
#include "kbd8042.h"
#include "vmport.h"

enum { CALL_DATA = 39, CALL_STATUS = 40, CALL_COMMAND = 41 };

#define COMMAND_READ_ID          0x45414552u
#define COMMAND_DISABLE          0x000000f5u
#define COMMAND_REQUEST_RELATIVE 0x4c455252u
#define COMMAND_REQUEST_ABSOLUTE 0x53424152u
#define VERSION_ID               0x3442554au

#define BUTTON_LEFT   0x20u
#define BUTTON_RIGHT  0x10u
#define BUTTON_MIDDLE 0x08u
#define RELATIVE      0x00010000u
#define ERROR         0xffff0000u

#define WORDS     4u
#define QUEUE     1024u
#define READ_MOST 6u

struct vmmouse_regs {
    uint32_t queue[QUEUE];
    uint16_t count;
    bool enabled, absolute;
    uint16_t x, y; /* where the pointer was last: 0 to FFFFh */
};

struct vmmouse {
    struct vmmouse_regs regs;
    struct kbd8042 *ps2;
    struct input_sink positions, moves;
};

static void disable(struct vmmouse *mouse)
{
    mouse->regs.enabled = mouse->regs.absolute = false;
    mouse->regs.count = 0;
}

/* A position only, with the same buttons as before, may take the place of one that nobody has read. */
static void event(struct vmmouse *mouse, uint32_t flags, uint32_t x, uint32_t y, int dz)
{
    struct vmmouse_regs *regs = &mouse->regs;
    uint32_t *last = regs->count >= WORDS ? regs->queue + regs->count - WORDS : NULL;
    if (last && !(flags & RELATIVE) && last[0] == flags && !last[3] && !dz && regs->count % WORDS == 0 &&
        regs->count > 2 * WORDS) {
        last[1] = x;
        last[2] = y;
    } else if (regs->count + WORDS <= QUEUE) {
        uint32_t words[WORDS] = {flags, x, y, (uint32_t)dz};
        memcpy(regs->queue + regs->count, words, sizeof(words));
        regs->count += WORDS;
    }
    kbd8042_mouse_nudge(mouse->ps2);
}

static uint32_t buttons_of(unsigned buttons)
{
    return (buttons & 1 ? BUTTON_LEFT : 0) | (buttons & 2 ? BUTTON_RIGHT : 0) | (buttons & 4 ? BUTTON_MIDDLE : 0);
}

static bool takes_positions(void *opaque)
{
    const struct vmmouse *mouse = opaque;
    return mouse->regs.enabled && mouse->regs.absolute;
}

static bool takes_moves(void *opaque)
{
    const struct vmmouse *mouse = opaque;
    return mouse->regs.enabled && !mouse->regs.absolute;
}

static void absolute(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct vmmouse *mouse = opaque;
    mouse->regs.x = (uint16_t)(x * 0xffffu / INPUT_ABSOLUTE_MAX);
    mouse->regs.y = (uint16_t)(y * 0xffffu / INPUT_ABSOLUTE_MAX);
    event(mouse, buttons_of(buttons), mouse->regs.x, mouse->regs.y, dz);
}

static void move(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    event(opaque, RELATIVE | buttons_of(buttons), (uint32_t)dx, (uint32_t)dy, dz);
}

/* --- Calls --- */

static uint32_t call_command(void *opaque, uint32_t *gpr)
{
    struct vmmouse *mouse = opaque;
    switch (gpr[IO_EBX]) {
    case COMMAND_READ_ID:
        mouse->regs.enabled = true;
        if (mouse->regs.count < QUEUE)
            mouse->regs.queue[mouse->regs.count++] = VERSION_ID;
        break;
    case COMMAND_DISABLE:
        disable(mouse);
        break;
    case COMMAND_REQUEST_ABSOLUTE:
        mouse->regs.absolute = true;
        break;
    case COMMAND_REQUEST_RELATIVE:
        mouse->regs.absolute = false;
        break;
    default:
        break;
    }
    return gpr[IO_EAX];
}

static uint32_t call_status(void *opaque, uint32_t *gpr)
{
    const struct vmmouse *mouse = opaque;
    return mouse->regs.enabled ? mouse->regs.count : ERROR;
}

/* EBX words, into EAX, EBX, ECX, EDX, ESI and EDI. Asking for more than there are is an error, which only READ_ID ends.
 */
static uint32_t call_data(void *opaque, uint32_t *gpr)
{
    static const unsigned order[READ_MOST] = {IO_EAX, IO_EBX, IO_ECX, IO_EDX, IO_ESI, IO_EDI};
    struct vmmouse *mouse = opaque;
    struct vmmouse_regs *regs = &mouse->regs;
    uint32_t count = gpr[IO_EBX];
    if (count == 0 || count > READ_MOST || count > regs->count) {
        disable(mouse);
        return ERROR;
    }
    for (unsigned i = 0; i < count; i++)
        gpr[order[i]] = regs->queue[i];
    regs->count -= (uint16_t)count;
    memmove(regs->queue, regs->queue + count, regs->count * sizeof(regs->queue[0]));
    return gpr[IO_EAX];
}

/* --- Life --- */

static void vmmouse_reset(void *dev)
{
    struct vmmouse *mouse = dev;
    memset(&mouse->regs, 0, sizeof(mouse->regs));
}

static const struct state_field vmmouse_fields[] = {
    STATE_FIELD(vmmouse_regs, queue),    STATE_FIELD(vmmouse_regs, count), STATE_FIELD(vmmouse_regs, enabled),
    STATE_FIELD(vmmouse_regs, absolute), STATE_FIELD(vmmouse_regs, x),     STATE_FIELD(vmmouse_regs, y)};
static const struct state_layout vmmouse_layout = STATE_LAYOUT(1, vmmouse_regs, vmmouse_fields);

static bool vmmouse_after_load(void *dev)
{
    const struct vmmouse *mouse = dev;
    return mouse->regs.count <= QUEUE;
}

static void vmmouse_dump(void *dev, GString *out)
{
    const struct vmmouse_regs *regs = &((struct vmmouse *)dev)->regs;
    g_string_append_printf(out, "vmmouse: %s, %u words wait\n",
                           !regs->enabled   ? "off"
                           : regs->absolute ? "positions"
                                            : "moves",
                           regs->count);
}

static void *vmmouse_create(const struct device_site *site, const void *config, GError **error)
{
    struct vmport *vmport = board_service(site->board, "vmport");
    struct kbd8042 *ps2 = board_service(site->board, "i8042");
    if (!vmport || !ps2) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "vmmouse needs a board with vmport=on and a PS/2 mouse");
        return NULL;
    }
    struct vmmouse *mouse = g_new0(struct vmmouse, 1);
    mouse->ps2 = ps2;
    vmport_add(vmport, CALL_DATA, call_data, mouse);
    vmport_add(vmport, CALL_STATUS, call_status, mouse);
    vmport_add(vmport, CALL_COMMAND, call_command, mouse);
    mouse->moves =
        (struct input_sink){.name = "vmmouse", .is_on = takes_moves, .is_hidden = true, .mouse = move, .opaque = mouse};
    mouse->positions = (struct input_sink){
        .name = "vmmouse", .is_on = takes_positions, .is_hidden = true, .absolute = absolute, .opaque = mouse};
    input_sink_add(site->board, &mouse->moves);
    input_sink_add(site->board, &mouse->positions);
    return mouse;
}

static void vmmouse_destroy(void *dev)
{
    g_free(dev);
}

const struct device_class vmmouse_class = {
    .name = "vmmouse",
    .help = "VMware's mouse, by the backdoor's port: positions",
    .bus = BUS_ISA,
    .internal = true,
    .create = vmmouse_create,
    .destroy = vmmouse_destroy,
    .reset = vmmouse_reset,
    .layout = &vmmouse_layout,
    .regs_offset = offsetof(struct vmmouse, regs),
    .after_load = vmmouse_after_load,
    .dump = vmmouse_dump,
};
DEVICE_CLASS(vmmouse_class);
