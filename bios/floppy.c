/* Floppy drives: INT 13h below 80h, INT 0Eh, the motor's time-out.
 *
 * Intel 82077AA data sheet; IBM AT Technical Reference (diskette BIOS); 8237A DMA, channel 2.
 */
#include "bios.h"

#define DOR  0x3f2
#define MSR  0x3f4
#define FIFO 0x3f5
#define DIR  0x3f7 /* read */
#define CCR  0x3f7 /* write */

#define RQM 0x80
#define DIO 0x40

/* INT 13h status */
#define FD_BAD_COMMAND      0x01
#define FD_NO_ADDRESS_MARK  0x02
#define FD_WRITE_PROTECTED  0x03
#define FD_SECTOR_NOT_FOUND 0x04
#define FD_CHANGED          0x06
#define FD_DMA_OVERRUN      0x08
#define FD_DMA_BOUNDARY     0x09
#define FD_CRC              0x10
#define FD_CONTROLLER       0x20
#define FD_SEEK             0x40
#define FD_TIMEOUT          0x80

/* Drive types as CMOS byte 10h has them. */
struct floppy_type {
    struct geometry geometry; /* of the biggest medium */
    uint8_t rates[3];         /* data rates to try, CCR codes: 0 500, 1 300, 2 250, 3 1000 kbit/s */
    uint8_t rate_count;
    const char *name;
};

static const struct floppy_type types[] = {
    {{0, 0, 0}, {0}, 0, ""},
    {{40, 2, 9}, {2}, 1, "360K"},
    {{80, 2, 15}, {0, 1, 2}, 3, "1.2M"},
    {{80, 2, 9}, {2}, 1, "720K"},
    {{80, 2, 18}, {0, 2}, 2, "1.44M"},
    {{80, 2, 36}, {3, 0, 2}, 3, "2.88M"},
    {{80, 2, 36}, {3, 0, 2}, 3, "2.88M"},
};

static uint8_t drive_type[2];
static uint8_t known_rate[2];    /* of the medium, 0xff: not known */
static uint8_t known_sectors[2]; /* in a track of it, 0: not known */
static uint8_t result[7];

static void fail_log(const char *what, uint8_t code)
{
    dprintf("floppy: %s: error %02x\n", what, code);
}

/* --- Controller --- */

static bool fifo_wait(uint8_t want)
{
    struct timeout t = timeout_start(500);
    do {
        if ((inb(MSR) & (RQM | DIO)) == want)
            return true;
    } while (!timeout_passed(&t));
    return false;
}

static bool fifo_write(uint8_t byte)
{
    if (!fifo_wait(RQM))
        return false;
    outb(FIFO, byte);
    return true;
}

static bool fifo_read(uint8_t *byte)
{
    if (!fifo_wait(RQM | DIO))
        return false;
    *byte = inb(FIFO);
    return true;
}

static bool command(const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!fifo_write(bytes[i]))
            return false;
    }
    return true;
}

static bool read_result(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!fifo_read(&result[i]))
            return false;
        if (i < 7)
            poke8(BDA_SEG, (uint16_t)(BDA_FD_RESULT + i), result[i]);
    }
    return true;
}

static void irq_expect(void)
{
    poke8(BDA_SEG, BDA_FD_RECAL, peek8(BDA_SEG, BDA_FD_RECAL) & 0x7f);
}

static bool irq_wait(uint32_t ms)
{
    struct timeout t = timeout_start(ms);
    do {
        if (peek8(BDA_SEG, BDA_FD_RECAL) & 0x80) {
            irq_expect();
            return true;
        }
        yield();
    } while (!timeout_passed(&t));
    return false;
}

void handle_0e(struct bregs *regs)
{
    outb(0x20, 0x20);
    poke8(BDA_SEG, BDA_FD_RECAL, peek8(BDA_SEG, BDA_FD_RECAL) | 0x80);
}

static bool sense_interrupt(void)
{
    static const uint8_t bytes[] = {0x08};
    return command(bytes, 1) && read_result(2);
}

static void controller_reset(void)
{
    uint8_t motors = (uint8_t)(peek8(BDA_SEG, BDA_FD_MOTOR) << 4 & 0x30);

    irq_expect();
    outb(DOR, motors | 0x08);
    delay_ms(1);
    outb(DOR, motors | 0x0c);
    irq_wait(500);
    for (unsigned i = 0; i < 4; i++) {
        if (!sense_interrupt())
            break;
    }
    uint32_t table = peek32(0, 0x1e * 4);
    uint8_t specify[3] = {0x03, peek8((uint16_t)(table >> 16), (uint16_t)table),
                          peek8((uint16_t)(table >> 16), (uint16_t)(table + 1))};
    command(specify, 3);
    poke8(BDA_SEG, BDA_FD_RECAL, 0); /* every drive is to be recalibrated */
}

static void motor_on(uint8_t drive)
{
    uint8_t motors = peek8(BDA_SEG, BDA_FD_MOTOR);
    bool was_on = motors & (1u << drive);

    poke8(BDA_SEG, BDA_FD_MOTOR_OFF, 0xff); /* not while we are at work */
    poke8(BDA_SEG, BDA_FD_MOTOR, (uint8_t)(motors | 1u << drive));
    outb(DOR, (uint8_t)((motors << 4 & 0x30) | 0x10u << drive | 0x0c | drive));
    if (!was_on)
        delay_ms(1);
}

static void motor_timeout(void)
{
    uint32_t table = peek32(0, 0x1e * 4);
    poke8(BDA_SEG, BDA_FD_MOTOR_OFF, peek8((uint16_t)(table >> 16), (uint16_t)(table + 2)));
}

/* From the timer interrupt. */
void floppy_tick(void)
{
    uint8_t left = peek8(BDA_SEG, BDA_FD_MOTOR_OFF);
    if (!left)
        return;
    poke8(BDA_SEG, BDA_FD_MOTOR_OFF, --left);
    if (!left && (peek8(BDA_SEG, BDA_FD_MOTOR) & 3)) {
        poke8(BDA_SEG, BDA_FD_MOTOR, peek8(BDA_SEG, BDA_FD_MOTOR) & 0xf0);
        outb(DOR, 0x0c);
    }
}

static uint8_t seek(uint8_t drive, uint8_t cylinder, uint8_t head)
{
    if (!(peek8(BDA_SEG, BDA_FD_RECAL) & (1u << drive))) {
        uint8_t bytes[2] = {0x07, drive};
        bool good = false;
        /* 77 steps are not enough from cylinder 79: a second try is allowed. */
        for (unsigned i = 0; i < 2 && !good; i++) {
            irq_expect();
            if (!command(bytes, 2) || !irq_wait(2000) || !sense_interrupt())
                return FD_TIMEOUT;
            good = (result[0] & 0xf0) == 0x20;
        }
        if (!good)
            return FD_SEEK;
        poke8(BDA_SEG, BDA_FD_RECAL, (uint8_t)(peek8(BDA_SEG, BDA_FD_RECAL) | 1u << drive));
        poke8(BDA_SEG, (uint16_t)(BDA_FD_TRACK + drive), 0);
    }
    uint8_t bytes[3] = {0x0f, (uint8_t)(head << 2 | drive), cylinder};
    irq_expect();
    if (!command(bytes, 3) || !irq_wait(2000) || !sense_interrupt())
        return FD_TIMEOUT;
    if ((result[0] & 0xe0) != 0x20)
        return FD_SEEK;
    poke8(BDA_SEG, (uint16_t)(BDA_FD_TRACK + drive), cylinder);
    return 0;
}

/* What the three status bytes of a command mean. */
static uint8_t result_code(void)
{
    if (!(result[0] & 0xc0))
        return 0;
    if ((result[0] & 0xc0) == 0x80)
        return FD_BAD_COMMAND;
    if (result[1] & 0x02)
        return FD_WRITE_PROTECTED;
    if (result[1] & 0x10)
        return FD_DMA_OVERRUN;
    if (result[1] & 0x20)
        return FD_CRC;
    if (result[1] & 0x84)
        return FD_SECTOR_NOT_FOUND;
    if (result[1] & 0x01)
        return FD_NO_ADDRESS_MARK;
    return FD_CONTROLLER;
}

/* --- Media --- */

static uint8_t read_id(uint8_t drive, uint8_t head)
{
    uint8_t bytes[2] = {0x4a, (uint8_t)(head << 2 | drive)};
    irq_expect();
    if (!command(bytes, 2) || !irq_wait(1000) || !read_result(7))
        return FD_TIMEOUT;
    return result_code();
}

static void set_rate(uint8_t drive, uint8_t rate)
{
    outb(CCR, rate);
    poke8(BDA_SEG, BDA_FD_RATE, (uint8_t)(rate << 6));
    known_rate[drive] = rate;
    known_sectors[drive] = 0;
    /* Media state: rate, double step, established. */
    bool double_step = drive_type[drive] == 2 && rate == 1;
    uint8_t kind = drive_type[drive] == 1 ? 3 : drive_type[drive] == 2 ? (rate == 0 ? 5 : 4) : 7;
    poke8(BDA_SEG, (uint16_t)(BDA_FD_MEDIA + drive), (uint8_t)(rate << 6 | (double_step ? 0x20 : 0) | 0x10 | kind));
}

static void forget_medium(uint8_t drive)
{
    known_rate[drive] = 0xff;
    poke8(BDA_SEG, (uint16_t)(BDA_FD_MEDIA + drive), 0);
    poke8(BDA_SEG, BDA_FD_RECAL, (uint8_t)(peek8(BDA_SEG, BDA_FD_RECAL) & ~(1u << drive)));
}

/* A 40-track medium in an 80-track drive: two steps for one cylinder. Read ID tells. */
static bool double_step[2];

/* Sectors pass by until their numbers begin anew. */
static uint8_t count_sectors(uint8_t drive)
{
    uint8_t last = 0;
    for (unsigned i = 0; i < 128; i++) {
        if (read_id(drive, 0) != 0)
            return 0;
        if (result[5] <= last)
            return last;
        /* The first one may be any: what comes before it is seen when it has come round. */
        last = result[5];
    }
    return 0;
}

static uint8_t establish(uint8_t drive)
{
    const struct floppy_type *type = &types[drive_type[drive]];
    uint8_t code = FD_TIMEOUT;

    if (known_rate[drive] != 0xff) {
        outb(CCR, known_rate[drive]);
        return 0;
    }
    for (unsigned i = 0; i < type->rate_count; i++) {
        outb(CCR, type->rates[i]);
        double_step[drive] = false;
        if ((code = seek(drive, 2, 0)) != 0)
            continue;
        if ((code = read_id(drive, 0)) == 0) {
            double_step[drive] = type->geometry.cylinders == 80 && result[3] == 1;
            set_rate(drive, type->rates[i]);
            known_sectors[drive] = count_sectors(drive);
            return 0;
        }
        if (code == FD_TIMEOUT)
            controller_reset();
    }
    return code;
}

/* --- Transfers --- */

static uint8_t dma_setup(uint32_t at, uint32_t bytes, uint8_t mode)
{
    if ((at & 0xffff) + bytes > 0x10000 || at + bytes > 0x1000000)
        return FD_DMA_BOUNDARY;
    outb(0x0a, 0x06);
    outb(0x0c, 0);
    outb(0x04, (uint8_t)at);
    outb(0x04, (uint8_t)(at >> 8));
    outb(0x81, (uint8_t)(at >> 16));
    outb(0x0c, 0);
    outb(0x05, (uint8_t)(bytes - 1));
    outb(0x05, (uint8_t)((bytes - 1) >> 8));
    outb(0x0b, mode | 2);
    outb(0x0a, 0x02);
    return 0;
}

#define DMA_VERIFY       0x40
#define DMA_READ_MEMORY  0x48 /* the FDC writes */
#define DMA_WRITE_MEMORY 0x44

static uint8_t table_byte(unsigned n)
{
    uint32_t table = peek32(0, 0x1e * 4);
    return peek8((uint16_t)(table >> 16), (uint16_t)(table + n));
}

struct request {
    uint8_t function, drive, cylinder, head, sector, count;
    uint16_t seg, off;
};

/* One command: sectors of one track side. */
static uint8_t track_transfer(const struct request *r, uint8_t cylinder, uint8_t head, uint8_t sector, uint32_t count,
                              uint32_t at)
{
    uint8_t code = seek(r->drive, (uint8_t)(cylinder << (double_step[r->drive] ? 1 : 0)), head);
    if (code)
        return code;
    uint8_t mode = r->function == 0x02 ? DMA_WRITE_MEMORY : r->function == 0x03 ? DMA_READ_MEMORY : DMA_VERIFY;
    code = dma_setup(at, count * 512, mode);
    if (code)
        return code;
    uint8_t bytes[9] = {r->function == 0x03 ? 0x45 : 0x66,
                        (uint8_t)(head << 2 | r->drive),
                        cylinder,
                        head,
                        sector,
                        2,
                        (uint8_t)(sector + count - 1),
                        table_byte(5),
                        0xff};
    irq_expect();
    if (!command(bytes, 9) || !irq_wait(5000) || !read_result(7)) {
        controller_reset();
        return FD_TIMEOUT;
    }
    return result_code();
}

/* Where a transfer goes on to the other side: INT 1Eh's table says it, unless it is still ours, which fits 1.44M. A
 * table for the drive's largest medium does not make the tracks of this one longer. */
static unsigned track_sectors(uint8_t drive)
{
    static const uint8_t by_rate[] = {18, 9, 9, 36};
    unsigned medium = known_sectors[drive]                               ? known_sectors[drive]
                      : drive_type[drive] == 2 && known_rate[drive] == 0 ? 15
                                                                         : by_rate[known_rate[drive] & 3];
    unsigned table = table_byte(4);
    return table == 18 || table > medium ? medium : table;
}

/* 02 read, 03 write, 04 verify; *done sectors went well. A count that goes over the end of the cylinder goes on in the
 * next one: IBM's BIOS would say 04h, but boot sectors written on emulators read their kernel in one call. */
static uint8_t transfer(const struct request *r, uint8_t *done)
{
    uint32_t at = r->seg * 16u + r->off;
    uint8_t sector = r->sector, head = r->head, cylinder = r->cylinder, code = 0;

    *done = 0;
    if (r->function != 0x04 && (at & 0xffff) + r->count * 512u > 0x10000)
        return FD_DMA_BOUNDARY;
    if (r->function == 0x04)
        at = 0; /* nothing moves */
    unsigned track_end = track_sectors(r->drive);
    while (*done < r->count) {
        uint32_t n = r->count - *done;
        if (sector + n - 1 > track_end) /* what does not fit is on the other side */
            n = sector > track_end ? 1 : track_end - sector + 1;
        for (unsigned attempt = 0; attempt < 3; attempt++) {
            if (!(code = track_transfer(r, cylinder, head, sector, n, at)))
                break;
            if (code == FD_WRITE_PROTECTED || code == FD_DMA_BOUNDARY)
                break;
            poke8(BDA_SEG, BDA_FD_RECAL, (uint8_t)(peek8(BDA_SEG, BDA_FD_RECAL) & ~(1u << r->drive)));
        }
        if (code)
            return code;
        *done = (uint8_t)(*done + n);
        if (r->function != 0x04)
            at += n * 512;
        sector = 1;
        if (++head > 1) {
            head = 0;
            cylinder++;
        }
        if (*done < r->count && cylinder >= types[drive_type[r->drive]].geometry.cylinders)
            return FD_SECTOR_NOT_FOUND;
    }
    return 0;
}

/* 05: ES:BX has four bytes per sector: cylinder, head, sector, size. */
static uint8_t format_track(const struct request *r)
{
    uint8_t sectors = r->count ? r->count : table_byte(4);
    uint8_t code = seek(r->drive, (uint8_t)(r->cylinder << (double_step[r->drive] ? 1 : 0)), r->head);
    if (code)
        return code;
    code = dma_setup(r->seg * 16u + r->off, sectors * 4u, DMA_READ_MEMORY);
    if (code)
        return code;
    uint8_t bytes[6] = {0x4d, (uint8_t)(r->head << 2 | r->drive), 2, sectors, table_byte(7), table_byte(8)};
    irq_expect();
    if (!command(bytes, 6) || !irq_wait(5000) || !read_result(7)) {
        controller_reset();
        return FD_TIMEOUT;
    }
    return result_code();
}

/* True once after a medium was changed. */
static bool change_line(uint8_t drive)
{
    if (drive_type[drive] == 1)
        return false; /* a 360K drive has none */
    motor_on(drive);
    return inb(DIR) & 0x80;
}

/* A step clears the line, if there is a medium. */
static bool clear_change(uint8_t drive)
{
    forget_medium(drive);
    seek(drive, 1, 0);
    seek(drive, 0, 0);
    return !(inb(DIR) & 0x80);
}

/* --- INT 13h --- */

static void floppy_return(struct bregs *regs, uint8_t code)
{
    poke8(BDA_SEG, BDA_FD_STATUS, code);
    regs->ah = code;
    set_cf(regs, code != 0);
}

static void floppy_1302(struct bregs *regs)
{
    struct request r = {.function = regs->ah,
                        .drive = regs->dl,
                        .cylinder = regs->ch,
                        .head = regs->dh,
                        .sector = regs->cl,
                        .count = regs->al,
                        .seg = regs->es,
                        .off = regs->bx};
    uint8_t done = 0, code;

    if (r.head > 1 || (r.function != 0x05 && (!r.sector || !r.count)) || r.cylinder > 84) {
        regs->al = 0;
        floppy_return(regs, FD_BAD_COMMAND);
        fail_log("bad parameter", FD_BAD_COMMAND);
        return;
    }
    motor_on(r.drive);
    if (change_line(r.drive)) {
        bool has_medium = clear_change(r.drive);
        motor_timeout();
        regs->al = 0;
        floppy_return(regs, has_medium ? FD_CHANGED : FD_TIMEOUT);
        fail_log("change line", has_medium ? FD_CHANGED : FD_TIMEOUT);
        return;
    }
    if (r.function == 0x05) {
        if (known_rate[r.drive] == 0xff)
            set_rate(r.drive, types[drive_type[r.drive]].rates[0]);
        outb(CCR, known_rate[r.drive]);
        code = format_track(&r);
    } else {
        code = establish(r.drive);
        if (!code)
            code = transfer(&r, &done);
        if (code && code != FD_DMA_BOUNDARY && code != FD_WRITE_PROTECTED)
            known_rate[r.drive] = 0xff; /* look anew next time */
        regs->al = done;
    }
    motor_timeout();
    if (code)
        dprintf("int 13 floppy: ax=%04x cx=%04x dx=%04x es:bx=%04x:%04x: error %02x, st %02x %02x %02x\n", regs->ax,
                regs->cx, regs->dx, regs->es, regs->bx, code, result[0], result[1], result[2]);
    floppy_return(regs, code);
}

static void floppy_1308(struct bregs *regs)
{
    const struct geometry *g = &types[drive_type[regs->dl]].geometry;
    regs->ax = 0;
    regs->bx = drive_type[regs->dl];
    regs->ch = (uint8_t)(g->cylinders - 1);
    regs->cl = (uint8_t)g->sectors;
    regs->dh = (uint8_t)(g->heads - 1);
    regs->dl = floppy_count;
    uint32_t table = peek32(0, 0x1e * 4);
    regs->es = (uint16_t)(table >> 16);
    regs->di = (uint16_t)table;
    poke8(BDA_SEG, BDA_FD_STATUS, 0);
    set_cf(regs, false);
}

/* 17 by a number, 18 by tracks and sectors: which medium a format is for. */
static void floppy_1317(struct bregs *regs)
{
    uint8_t type = drive_type[regs->dl], rate;
    motor_on(regs->dl);
    if (regs->ah == 0x17) {
        static const uint8_t rates[] = {0xff, 2, 1, 0, 2};
        if (!regs->al || regs->al > 4) {
            floppy_return(regs, FD_BAD_COMMAND);
            return;
        }
        rate = rates[regs->al];
    } else {
        unsigned sectors = regs->cl & 63u;
        rate = sectors > 18 ? 3 : sectors > 9 ? 0 : regs->ch < 40 && type == 2 ? 1 : 2;
    }
    bool found = false;
    for (unsigned i = 0; i < types[type].rate_count; i++)
        found |= types[type].rates[i] == rate;
    motor_timeout();
    if (!found) {
        floppy_return(regs, regs->ah == 0x18 ? 0x0c : FD_BAD_COMMAND);
        return;
    }
    set_rate(regs->dl, rate);
    double_step[regs->dl] = rate == 1 && type == 2;
    if (regs->ah == 0x18) {
        regs->es = CODE_SEG;
        regs->di = (uint16_t)(uint32_t)diskette_table;
    }
    floppy_return(regs, 0);
}

void floppy_13(struct bregs *regs)
{
    if (regs->ah == 0x00) {
        controller_reset();
        floppy_return(regs, 0);
        return;
    }
    if (regs->dl > 1 || !drive_type[regs->dl]) {
        if (regs->ah == 0x08) { /* no such drive, but so many are there */
            regs->ax = regs->bx = regs->cx = regs->es = regs->di = 0;
            regs->dx = floppy_count;
            set_cf(regs, regs->dl >= 2);
        } else if (regs->ah == 0x15) {
            regs->ah = 0;
            set_cf(regs, false);
        } else {
            regs->al = 0;
            floppy_return(regs, regs->ah >= 0x19 || regs->dl > 1 ? FD_BAD_COMMAND : FD_TIMEOUT);
        }
        return;
    }
    switch (regs->ah) {
    case 0x01: {
        uint8_t last = peek8(BDA_SEG, BDA_FD_STATUS);
        regs->ah = last;
        set_cf(regs, last != 0);
        break;
    }
    case 0x02:
    case 0x03:
    case 0x04:
    case 0x05:
        floppy_1302(regs);
        break;
    case 0x08:
        floppy_1308(regs);
        break;
    case 0x15:
        regs->ah = drive_type[regs->dl] == 1 ? 1 : 2;
        poke8(BDA_SEG, BDA_FD_STATUS, 0);
        set_cf(regs, false);
        break;
    case 0x16:
        if (drive_type[regs->dl] != 1 && change_line(regs->dl)) {
            clear_change(regs->dl);
            floppy_return(regs, FD_CHANGED);
        } else {
            floppy_return(regs, 0);
        }
        motor_timeout();
        break;
    case 0x17:
    case 0x18:
        floppy_1317(regs);
        break;
    case 0x41: /* no extensions here; callers ask everybody */
        floppy_return(regs, FD_BAD_COMMAND);
        break;
    default:
        log_unknown("int 13 floppy", regs);
        floppy_return(regs, FD_BAD_COMMAND);
        break;
    }
}

void floppy_init(void)
{
    uint8_t cmos = cmos_read(0x10);
    drive_type[0] = cmos >> 4;
    drive_type[1] = cmos & 15;
    for (uint8_t i = 0; i < 2; i++) {
        known_rate[i] = 0xff;
        if (drive_type[i] >= sizeof(types) / sizeof(types[0]))
            drive_type[i] = 0;
        if (!drive_type[i])
            continue;
        struct drive *drive = drive_add(DRIVE_FLOPPY);
        drive->unit = i;
        drive->block = 512;
        drive->logical = types[drive_type[i]].geometry;
        printf("fd%u: %s floppy drive\n", i, types[drive_type[i]].name);
    }
    if (!floppy_count)
        return;
    uint16_t equipment = peek16(BDA_SEG, BDA_EQUIPMENT);
    poke16(BDA_SEG, BDA_EQUIPMENT, (uint16_t)(equipment | 1 | (floppy_count - 1) << 6));
    poke8(BDA_SEG, BDA_FD_INFO, (uint8_t)((drive_type[0] ? 0x07 : 0) | (drive_type[1] ? 0x70 : 0)));
    controller_reset();
}
