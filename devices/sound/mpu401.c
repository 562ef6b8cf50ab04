/* MPU-401: base + 0 is data, base + 1 status and command (MPU-401 Technical Reference Manual, "UART mode").
 *
 *   status: 40h: it takes nothing now (never); 80h: there is nothing to read
 *
 * What is sent goes nowhere, and nobody plays. It does not interrupt: all that it ever says are answers to commands,
 * which programs wait for by looking.
 */
#include "mpu401.h"

#include "ioport.h"
#include "state.h"

#define STATUS_EMPTY 0x80u
#define STATUS_BITS  0x3fu

enum { COMMAND_UART = 0x3f, COMMAND_VERSION = 0xac, COMMAND_REVISION = 0xad, COMMAND_RESET = 0xff };
#define ACK     0xfeu
#define VERSION 0x15u

struct mpu401_regs {
    uint8_t out[2], count; /* to be read */
    bool uart;
};

struct mpu401 {
    struct mpu401_regs regs;
    uint16_t base;
};

static uint32_t mpu401_read(void *opaque, uint16_t port, unsigned size)
{
    struct mpu401 *mpu = opaque;
    struct mpu401_regs *regs = &mpu->regs;
    if (port & 1)
        return STATUS_BITS | (regs->count ? 0 : STATUS_EMPTY);
    uint8_t value = regs->count ? regs->out[0] : ACK;
    regs->out[0] = regs->out[1];
    regs->count -= regs->count > 0;
    return value;
}

static void command(struct mpu401_regs *regs, uint8_t value)
{
    if (regs->uart && value != COMMAND_RESET)
        return;
    regs->out[0] = ACK;
    regs->count = !(regs->uart && value == COMMAND_RESET); /* leaving the mode is not answered */
    if (value == COMMAND_VERSION || value == COMMAND_REVISION) {
        regs->out[1] = value == COMMAND_VERSION ? VERSION : 1;
        regs->count = 2;
    }
    regs->uart = value == COMMAND_UART;
}

static void mpu401_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct mpu401 *mpu = opaque;
    if (port & 1)
        command(&mpu->regs, (uint8_t)value);
}

static const struct io_ops mpu401_io = {.widths = 1, .read = mpu401_read, .write = mpu401_write};

void mpu401_reset(struct mpu401 *mpu)
{
    mpu->regs = (struct mpu401_regs){0};
}

#define F(member) STATE_FIELD(mpu401_regs, member)
static const struct state_field mpu401_fields[] = {F(out), F(count), F(uart)};
#undef F
static const struct state_layout mpu401_layout = STATE_LAYOUT(1, mpu401_regs, mpu401_fields);

void mpu401_pieces(struct mpu401 *mpu, struct state_pieces *pieces)
{
    state_add(pieces, "mpu401", 0, &mpu401_layout, &mpu->regs);
}

bool mpu401_is_sane(const struct mpu401 *mpu)
{
    return mpu->regs.count <= sizeof(mpu->regs.out);
}

struct mpu401 *mpu401_new(uint16_t base)
{
    if (!ioport_is_free(base, 2))
        return NULL;
    struct mpu401 *mpu = g_new0(struct mpu401, 1);
    mpu->base = base;
    ioport_register(base, 2, &mpu401_io, mpu, "mpu401");
    return mpu;
}

void mpu401_free(struct mpu401 *mpu)
{
    ioport_unregister(mpu->base, 2);
    g_free(mpu);
}
