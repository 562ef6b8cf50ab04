/* 16550A UART: FIFOs, loopback, character timeout, modem lines.
 *
 * National Semiconductor PC16550D data sheet. Bytes leave at once, as fast as the back takes them: a
 * guest that waits for THRE does not wait for a baud rate. Incoming bytes are limited by the FIFO only.
 */
#include "uart.h"

#include <string.h>

#include "ioport.h"
#include "log.h"
#include "state.h"
#include "vclock.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_ERBFI 0x01u
#define IER_ETBEI 0x02u
#define IER_ELSI  0x04u
#define IER_EDSSI 0x08u

#define IIR_NONE    0x01u
#define IIR_MODEM   0x00u
#define IIR_THRE    0x02u
#define IIR_DATA    0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFOS   0xc0u

#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u

#define LCR_BREAK 0x40u
#define LCR_DLAB  0x80u

#define MCR_DTR  0x01u
#define MCR_RTS  0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u

#define LSR_DR         0x01u
#define LSR_OE         0x02u
#define LSR_PE         0x04u
#define LSR_FE         0x08u
#define LSR_BI         0x10u
#define LSR_THRE       0x20u
#define LSR_TEMT       0x40u
#define LSR_FIFO_ERROR 0x80u
#define LSR_ERRORS     (LSR_OE | LSR_PE | LSR_FE | LSR_BI)

#define MSR_DELTAS 0x0fu
#define MSR_TERI   0x04u
#define MSR_CTS    0x10u
#define MSR_DSR    0x20u
#define MSR_RI     0x40u
#define MSR_DCD    0x80u

#define FIFO_SIZE 16

struct uart_regs {
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    uint8_t rx[FIFO_SIZE], rx_break[FIFO_SIZE]; /* a byte, and whether it stands for a BREAK */
    uint8_t rx_head, rx_count;
    uint8_t tx[FIFO_SIZE];
    uint8_t tx_head, tx_count;
    uint8_t thre_pending; /* the THRE interrupt was raised and not yet taken back */
    uint8_t timeout_pending;
    uint16_t divisor;
};

struct uart {
    struct uart_regs regs;
    uint16_t base;
    struct irq irq;
    struct chardev *backend;
    struct vtimer *timeout;
};

static bool fifo_is_on(const struct uart *uart)
{
    return uart->regs.fcr & FCR_ENABLE;
}

static unsigned rx_capacity(const struct uart *uart)
{
    return fifo_is_on(uart) ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart *uart)
{
    static const uint8_t level[4] = {1, 4, 8, 14};
    return fifo_is_on(uart) ? level[uart->regs.fcr >> 6] : 1;
}

/* Four characters' time at the programmed rate. */
static int64_t timeout_ns(const struct uart *uart)
{
    unsigned divisor = uart->regs.divisor ? uart->regs.divisor : 1;
    unsigned bits = 1 + 5 + (uart->regs.lcr & 3) + 1 + (uart->regs.lcr & 4 ? 1 : 0) + (uart->regs.lcr & 8 ? 1 : 0);
    return 4ll * bits * divisor * (NS_PER_SECOND / 115200);
}

/* The pending interrupt of the highest priority, as IIR shows it. */
static uint8_t uart_iir(const struct uart *uart)
{
    const struct uart_regs *regs = &uart->regs;
    if ((regs->ier & IER_ELSI) && (regs->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((regs->ier & IER_ERBFI) && regs->rx_count >= rx_trigger(uart))
        return IIR_DATA;
    if ((regs->ier & IER_ERBFI) && regs->timeout_pending)
        return IIR_TIMEOUT;
    if ((regs->ier & IER_ETBEI) && regs->thre_pending)
        return IIR_THRE;
    if ((regs->ier & IER_EDSSI) && (regs->msr & MSR_DELTAS))
        return IIR_MODEM;
    return IIR_NONE;
}

/* Must be called whenever anything uart_iir() looks at may have changed. On IBM's card OUT2 gates the pin, and loopback
 * holds OUT2 inactive; QEMU's has the line always, and kernels written there never set the bit. Whoever does not want
 * interrupts says so in IER. */
static void uart_update_irq(struct uart *uart)
{
    irq_set(&uart->irq, uart_iir(uart) != IIR_NONE);
}

/* The receiver's status belongs to the byte at the head of the FIFO. */
static void rx_update_lsr(struct uart *uart)
{
    struct uart_regs *regs = &uart->regs;
    if (regs->rx_count)
        regs->lsr |= LSR_DR;
    else
        regs->lsr &= ~LSR_DR;
    if (regs->rx_count && regs->rx_break[regs->rx_head]) {
        regs->lsr |= LSR_BI | LSR_FE;
        regs->rx_break[regs->rx_head] = 0; /* told once */
    }
    bool error = regs->lsr & (LSR_BI | LSR_FE | LSR_PE);
    for (unsigned i = 0; i < regs->rx_count; i++)
        error |= regs->rx_break[(regs->rx_head + i) % FIFO_SIZE];
    if (error && fifo_is_on(uart))
        regs->lsr |= LSR_FIFO_ERROR;
    else
        regs->lsr &= ~LSR_FIFO_ERROR;
}

static void rx_restart_timeout(struct uart *uart)
{
    uart->regs.timeout_pending = 0;
    if (fifo_is_on(uart) && uart->regs.rx_count)
        vtimer_arm(uart->timeout, vclock_now() + timeout_ns(uart));
    else
        vtimer_cancel(uart->timeout);
}

static void rx_push(struct uart *uart, uint8_t byte, bool is_break)
{
    struct uart_regs *regs = &uart->regs;
    if (regs->rx_count >= rx_capacity(uart)) {
        regs->lsr |= LSR_OE;
        if (!fifo_is_on(uart)) /* without FIFO the new byte replaces the old one */
            regs->rx[regs->rx_head] = byte;
        return;
    }
    unsigned tail = (regs->rx_head + regs->rx_count) % FIFO_SIZE;
    regs->rx[tail] = byte;
    regs->rx_break[tail] = is_break;
    regs->rx_count++;
}

static void uart_receive_one(struct uart *uart, uint8_t byte, bool is_break)
{
    rx_push(uart, byte, is_break);
    rx_update_lsr(uart);
    rx_restart_timeout(uart);
    uart_update_irq(uart);
}

static void rx_clear(struct uart *uart)
{
    uart->regs.rx_count = uart->regs.rx_head = 0;
    memset(uart->regs.rx_break, 0, sizeof(uart->regs.rx_break));
    rx_update_lsr(uart);
    rx_restart_timeout(uart);
}

static void rx_tell_room(struct uart *uart)
{
    if (uart->backend && uart->regs.rx_count < rx_capacity(uart))
        uart->backend->ops->room_changed(uart->backend);
}

static uint8_t rx_pop(struct uart *uart)
{
    struct uart_regs *regs = &uart->regs;
    uint8_t byte = regs->rx[regs->rx_head];
    if (regs->rx_count == 0)
        return byte; /* the receiver buffer keeps the last byte */
    if (regs->rx_count > 1 || fifo_is_on(uart))
        regs->rx_head = (regs->rx_head + 1) % FIFO_SIZE;
    regs->rx_count--;
    rx_update_lsr(uart);
    rx_restart_timeout(uart);
    uart_update_irq(uart);
    rx_tell_room(uart);
    return byte;
}

/* Sends what the other side takes; when the transmitter runs empty, THRE rises. */
static void tx_drain(struct uart *uart)
{
    struct uart_regs *regs = &uart->regs;
    while (regs->tx_count) {
        uint8_t byte = regs->tx[regs->tx_head];
        if (regs->mcr & MCR_LOOP) {
            uart_receive_one(uart, byte, false);
        } else if (uart->backend && uart->backend->ops->write(uart->backend, &byte, 1) == 0) {
            return;
        }
        regs->tx_head = (regs->tx_head + 1) % FIFO_SIZE;
        regs->tx_count--;
    }
    if (!(regs->lsr & LSR_THRE))
        regs->thre_pending = 1;
    regs->lsr |= LSR_THRE | LSR_TEMT;
    uart_update_irq(uart);
}

static void tx_write(struct uart *uart, uint8_t byte)
{
    struct uart_regs *regs = &uart->regs;
    if (regs->tx_count == (fifo_is_on(uart) ? FIFO_SIZE : 1)) {
        /* Overwrites the last byte, as a write to a full transmitter does. */
        regs->tx[(regs->tx_head + regs->tx_count - 1) % FIFO_SIZE] = byte;
        return;
    }
    regs->tx[(regs->tx_head + regs->tx_count) % FIFO_SIZE] = byte;
    regs->tx_count++;
    regs->lsr &= ~(LSR_THRE | LSR_TEMT);
    regs->thre_pending = 0;
    uart_update_irq(uart);
    tx_drain(uart);
}

/* The modem inputs as they are now: from the cable, or from MCR in loopback. */
static uint8_t modem_inputs(const struct uart *uart)
{
    uint8_t mcr = uart->regs.mcr;
    if (mcr & MCR_LOOP)
        return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) | (mcr & MCR_OUT1 ? MSR_RI : 0) |
               (mcr & MCR_OUT2 ? MSR_DCD : 0);
    return uart->backend ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
}

static void modem_update(struct uart *uart)
{
    struct uart_regs *regs = &uart->regs;
    uint8_t inputs = modem_inputs(uart);
    uint8_t changed = (regs->msr ^ inputs) & 0xf0;
    uint8_t deltas = changed >> 4;
    if ((changed & MSR_RI) && (inputs & MSR_RI))
        deltas &= ~MSR_TERI; /* only the trailing edge of RI counts */
    regs->msr = inputs | (regs->msr & MSR_DELTAS) | deltas;
    uart_update_irq(uart);
}

static void uart_write_fcr(struct uart *uart, uint8_t value)
{
    struct uart_regs *regs = &uart->regs;
    /* Changing the enable bit clears both FIFOs; other bits are programmed only with it set. */
    if ((value ^ regs->fcr) & FCR_ENABLE)
        value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
    uint8_t clear = value;
    regs->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    if (clear & FCR_CLEAR_RX)
        rx_clear(uart);
    if (clear & FCR_CLEAR_TX) {
        regs->tx_count = regs->tx_head = 0;
        tx_drain(uart);
    }
    uart_update_irq(uart);
    rx_tell_room(uart);
}

static void uart_write_mcr(struct uart *uart, uint8_t value)
{
    uart->regs.mcr = value & 0x1f;
    if (uart->backend && uart->backend->ops->set_lines)
        uart->backend->ops->set_lines(uart->backend, value & MCR_DTR, value & MCR_RTS);
    modem_update(uart);
    tx_drain(uart);
    rx_tell_room(uart); /* the line may just have been connected again */
}

static void uart_write_lcr(struct uart *uart, uint8_t value)
{
    bool starts = (value & ~uart->regs.lcr) & LCR_BREAK;
    uart->regs.lcr = value;
    if (starts && (uart->regs.mcr & MCR_LOOP))
        uart_receive_one(uart, 0, true);
}

static void uart_write_ier(struct uart *uart, uint8_t value)
{
    struct uart_regs *regs = &uart->regs;
    bool enables_thre = (value & ~regs->ier) & IER_ETBEI;
    regs->ier = value & 0x0f;
    /* Enabling the interrupt while the transmitter is empty raises it at once. */
    if (enables_thre && (regs->lsr & LSR_THRE))
        regs->thre_pending = 1;
    uart_update_irq(uart);
}

static void uart_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct uart *uart = opaque;
    struct uart_regs *regs = &uart->regs;
    bool dlab = regs->lcr & LCR_DLAB;

    switch (port - uart->base) {
    case REG_DATA:
        if (dlab)
            regs->divisor = (regs->divisor & 0xff00) | (value & 0xff);
        else
            tx_write(uart, value);
        break;
    case REG_IER:
        if (dlab)
            regs->divisor = (regs->divisor & 0x00ff) | (value & 0xff) << 8;
        else
            uart_write_ier(uart, value);
        break;
    case REG_IIR_FCR:
        uart_write_fcr(uart, value);
        break;
    case REG_LCR:
        uart_write_lcr(uart, value);
        break;
    case REG_MCR:
        uart_write_mcr(uart, value);
        break;
    case REG_SCR:
        regs->scr = value;
        break;
    default: /* LSR is for factory tests, MSR read only */
        break;
    }
}

static uint32_t uart_read(void *opaque, uint16_t port, unsigned size)
{
    struct uart *uart = opaque;
    struct uart_regs *regs = &uart->regs;
    bool dlab = regs->lcr & LCR_DLAB;
    uint8_t value;

    switch (port - uart->base) {
    case REG_DATA:
        return dlab ? regs->divisor & 0xff : rx_pop(uart);
    case REG_IER:
        return dlab ? regs->divisor >> 8 : regs->ier;
    case REG_IIR_FCR:
        value = uart_iir(uart);
        if (value == IIR_THRE) {
            regs->thre_pending = 0; /* reading IIR takes back a THRE interrupt, if that is what it shows */
            uart_update_irq(uart);
        }
        return value | (fifo_is_on(uart) ? IIR_FIFOS : 0);
    case REG_LCR:
        return regs->lcr;
    case REG_MCR:
        return regs->mcr;
    case REG_LSR:
        value = regs->lsr;
        regs->lsr &= ~LSR_ERRORS;
        rx_update_lsr(uart);
        uart_update_irq(uart);
        return value;
    case REG_MSR:
        value = regs->msr;
        regs->msr &= ~MSR_DELTAS;
        uart_update_irq(uart);
        return value;
    default:
        return regs->scr;
    }
}

static const struct io_ops uart_io = {.widths = 1, .read = uart_read, .write = uart_write};

static void uart_timeout(void *opaque)
{
    struct uart *uart = opaque;
    if (uart->regs.rx_count) {
        uart->regs.timeout_pending = 1;
        uart_update_irq(uart);
    }
}

static size_t front_room(void *opaque)
{
    struct uart *uart = opaque;
    /* In loopback the line is disconnected: what comes waits at the other end. */
    if (uart->regs.mcr & MCR_LOOP)
        return 0;
    return rx_capacity(uart) - MIN(uart->regs.rx_count, rx_capacity(uart));
}

static void front_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        uart_receive_one(opaque, bytes[i], false);
}

static void front_writable(void *opaque)
{
    tx_drain(opaque);
}

static void front_event(void *opaque, enum chardev_event event)
{
    if (event == CHARDEV_BREAK)
        uart_receive_one(opaque, 0, true);
}

static const struct chardev_front uart_front = {front_room, front_receive, front_writable, .event = front_event};

static void uart_reset(void *dev)
{
    struct uart *uart = dev;
    struct uart_regs *regs = &uart->regs;
    uint8_t scr = regs->scr; /* not affected by MR */
    memset(regs, 0, sizeof(*regs));
    regs->scr = scr;
    regs->divisor = 12; /* 9600, undefined in the data sheet */
    regs->lsr = LSR_THRE | LSR_TEMT;
    regs->msr = modem_inputs(uart);
    vtimer_cancel(uart->timeout);
    uart_update_irq(uart);
}

static const struct state_field uart_fields[] = {
    STATE_FIELD(uart_regs, ier),
    STATE_FIELD(uart_regs, fcr),
    STATE_FIELD(uart_regs, lcr),
    STATE_FIELD(uart_regs, mcr),
    STATE_FIELD(uart_regs, lsr),
    STATE_FIELD(uart_regs, msr),
    STATE_FIELD(uart_regs, scr),
    STATE_FIELD(uart_regs, rx),
    STATE_FIELD(uart_regs, rx_break),
    STATE_FIELD(uart_regs, rx_head),
    STATE_FIELD(uart_regs, rx_count),
    STATE_FIELD(uart_regs, tx),
    STATE_FIELD(uart_regs, tx_head),
    STATE_FIELD(uart_regs, tx_count),
    STATE_FIELD(uart_regs, divisor),
    STATE_FIELD(uart_regs, thre_pending),
    STATE_FIELD(uart_regs, timeout_pending),
};
static const struct state_layout uart_layout = STATE_LAYOUT(1, uart_regs, uart_fields);

static bool uart_after_load(void *dev)
{
    struct uart *uart = dev;
    if (uart->regs.rx_head >= FIFO_SIZE || uart->regs.tx_head >= FIFO_SIZE || uart->regs.rx_count > FIFO_SIZE ||
        uart->regs.tx_count > FIFO_SIZE) {
        return false;
    }
    if (uart->regs.rx_count && fifo_is_on(uart) && !uart->regs.timeout_pending)
        vtimer_arm(uart->timeout, vclock_now() + timeout_ns(uart));
    uart_update_irq(uart);
    if (uart->regs.tx_count)
        tx_drain(uart);
    return true;
}

static void uart_dump(void *dev, GString *out)
{
    struct uart *uart = dev;
    const struct uart_regs *regs = &uart->regs;
    g_string_append_printf(out, "uart %03x: ier=%02x iir=%02x lcr=%02x mcr=%02x lsr=%02x msr=%02x rx=%u tx=%u\n",
                           uart->base, regs->ier, uart_iir(uart), regs->lcr, regs->mcr, regs->lsr, regs->msr,
                           regs->rx_count, regs->tx_count);
}

struct uart *uart_new(uint16_t base, const struct irq *irq, struct chardev *backend, const char *name)
{
    struct uart *uart = g_new0(struct uart, 1);
    uart->base = base;
    uart->irq = *irq;
    uart->backend = backend;
    uart->timeout = vtimer_new(uart_timeout, uart, name);
    if (backend)
        chardev_attach(backend, &uart_front, uart);
    ioport_register(base, 8, &uart_io, uart, name);
    uart_reset(uart);
    return uart;
}

void uart_free(struct uart *uart)
{
    ioport_unregister(uart->base, 8);
    vtimer_free(uart->timeout);
    if (uart->backend)
        chardev_detach(uart->backend, uart);
    g_free(uart);
}

struct uart_config {
    struct chardev *chardev;
    uint32_t iobase, irq, index;
};

#define INDEX_AUTO UINT32_MAX

static void *uart_create(const struct device_site *site, const void *config, GError **error)
{
    static const struct {
        uint16_t base;
        uint8_t irq;
    } com[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
    const struct uart_config *wanted = config;
    unsigned index = wanted->index;
    if (index == INDEX_AUTO) {
        for (index = 0; index < 3 && !ioport_is_free(com[index].base, 8); index++)
            continue;
    }
    uint16_t base = (uint16_t)(wanted->iobase ? wanted->iobase : com[index].base);
    /* COM3 and COM4 share the lines of COM1 and COM2. */
    struct irq irq = board_isa_irq(site->board, wanted->irq ? wanted->irq : com[index].irq);
    if (!isa_ports_claim(site, base, 8, error))
        return NULL;
    return uart_new(base, &irq, wanted->chardev, site->id);
}

static void uart_destroy(void *dev)
{
    uart_free(dev);
}

static const struct property uart_properties[] = {
    PROPERTY(uart_config, chardev, "chardev", PROPERTY_CHARDEV, 0, NULL, "who is at the other end of the cable"),
    PROPERTY(uart_config, index, "index", PROPERTY_NUMBER, 3, "0xffffffff", "0 is COM1; by default the next one"),
    PROPERTY(uart_config, iobase, "iobase", PROPERTY_NUMBER, 0xfff8, "0", "first port; 0: as index says"),
    PROPERTY(uart_config, irq, "irq", PROPERTY_NUMBER, 15, "0", "interrupt line; 0: as index says"),
    PROPERTY_END,
};

const struct device_class uart_class = {
    .name = "isa-serial",
    .info = "uart",
    .help = "16550A serial port",
    .bus = BUS_ISA,
    .properties = uart_properties,
    .config_size = sizeof(struct uart_config),
    .create = uart_create,
    .destroy = uart_destroy,
    .reset = uart_reset,
    .layout = &uart_layout,
    .regs_offset = offsetof(struct uart, regs),
    .after_load = uart_after_load,
    .dump = uart_dump,
};
DEVICE_CLASS(uart_class);
