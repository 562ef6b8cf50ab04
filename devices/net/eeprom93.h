/* A serial EEPROM 93C46 (Microwire), 64 words of 16 bits, as network cards have it behind four bits of a register. */
#pragma once

#include "types.h"

#define EEPROM93_WORDS 64u

/* Without padding, and each value is a valid one but for those eeprom93_is_sane() looks at. */
struct eeprom93 {
    uint16_t word[EEPROM93_WORDS];
    uint16_t in;     /* bits that came in since the start bit, the last one lowest */
    uint16_t out;    /* bits that are to go out, the next one highest */
    uint8_t count;   /* of bits in; 0: no start bit yet */
    uint8_t address; /* of the command */
    uint8_t reading; /* 1: out has bits; with the last one the next word follows */
    uint8_t left;    /* bits in out */
    uint8_t enabled; /* 1: EWEN was given */
    uint8_t cs, sk;  /* the wires, as they are */
    uint8_t dout;    /* DO */
};

/* Wires change. The result is DO. */
bool eeprom93_wires(struct eeprom93 *eeprom, bool cs, bool sk, bool di);
bool eeprom93_is_sane(const struct eeprom93 *eeprom);
