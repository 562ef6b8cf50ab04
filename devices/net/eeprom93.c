/* 93C46, organized by 16: data sheet, table of instructions. A start bit, two bits of operation, six of address; DI is
 * taken at rising edges of SK, DO changes at them. Writing takes no time: DO says ready at once. */
#include "eeprom93.h"

#define COMMAND_BITS 9u /* with the start bit */
#define DATA_BITS    16u

enum { OP_CONTROL, OP_WRITE, OP_READ, OP_ERASE };
enum { CONTROL_DISABLE, CONTROL_WRITE_ALL, CONTROL_ERASE_ALL, CONTROL_ENABLE }; /* the two upper bits of the address */

static void fill(struct eeprom93 *eeprom, uint16_t value)
{
    for (unsigned i = 0; i < EEPROM93_WORDS; i++)
        eeprom->word[i] = value;
}

/* The command and its address are complete. */
static void decode(struct eeprom93 *eeprom)
{
    unsigned op = eeprom->in >> 6 & 3, control = eeprom->in >> 4 & 3;
    eeprom->address = eeprom->in & (EEPROM93_WORDS - 1);
    if (op == OP_READ) {
        eeprom->reading = 1;
        eeprom->out = eeprom->word[eeprom->address];
        eeprom->left = DATA_BITS;
        eeprom->dout = 0; /* the dummy bit, while the last bit of the address goes in */
    } else if (op == OP_ERASE) {
        if (eeprom->enabled)
            eeprom->word[eeprom->address] = 0xffff;
    } else if (op == OP_CONTROL && control == CONTROL_ENABLE) {
        eeprom->enabled = 1;
    } else if (op == OP_CONTROL && control == CONTROL_DISABLE) {
        eeprom->enabled = 0;
    } else if (op == OP_CONTROL && control == CONTROL_ERASE_ALL && eeprom->enabled) {
        fill(eeprom, 0xffff);
    }
}

/* Sixteen more bits: of use to those that write. in has them; the command's own bits have gone out at its top, all but
 * what op keeps. */
static void take_word(struct eeprom93 *eeprom, unsigned op, unsigned control)
{
    if (!eeprom->enabled)
        return;
    if (op == OP_WRITE)
        eeprom->word[eeprom->address] = eeprom->in;
    else if (op == OP_CONTROL && control == CONTROL_WRITE_ALL)
        fill(eeprom, eeprom->in);
}

static void clock_in(struct eeprom93 *eeprom, bool di)
{
    if (eeprom->reading) {
        eeprom->dout = eeprom->out >> 15;
        eeprom->out = (uint16_t)(eeprom->out << 1);
        if (--eeprom->left == 0) { /* sequential read */
            eeprom->address = (eeprom->address + 1) & (EEPROM93_WORDS - 1);
            eeprom->out = eeprom->word[eeprom->address];
            eeprom->left = DATA_BITS;
        }
        return;
    }
    if (eeprom->count == 0 && !di)
        return; /* no start bit yet */
    if (eeprom->count >= COMMAND_BITS + DATA_BITS)
        return;
    eeprom->count++;
    eeprom->in = (uint16_t)(eeprom->in << 1 | di);
    if (eeprom->count == COMMAND_BITS) {
        decode(eeprom);
        eeprom->out = eeprom->reading ? eeprom->out : eeprom->in; /* the operation, until its word has come */
    } else if (eeprom->count == COMMAND_BITS + DATA_BITS) {
        take_word(eeprom, eeprom->out >> 6 & 3, eeprom->out >> 4 & 3);
        eeprom->dout = 1;
    }
}

bool eeprom93_wires(struct eeprom93 *eeprom, bool cs, bool sk, bool di)
{
    bool selected = cs && !eeprom->cs, rises = sk && !eeprom->sk;
    eeprom->cs = cs;
    eeprom->sk = sk;
    if (!cs || selected) {
        eeprom->count = eeprom->reading = 0;
        eeprom->in = 0;
        eeprom->dout = 1; /* ready */
    }
    if (cs && rises && !selected)
        clock_in(eeprom, di);
    return eeprom->dout;
}

bool eeprom93_is_sane(const struct eeprom93 *eeprom)
{
    return eeprom->count <= COMMAND_BITS + DATA_BITS && eeprom->address < EEPROM93_WORDS && eeprom->reading <= 1 &&
           eeprom->left <= DATA_BITS && (!eeprom->reading || eeprom->left) && eeprom->enabled <= 1 && eeprom->cs <= 1 &&
           eeprom->sk <= 1 && eeprom->dout <= 1;
}
