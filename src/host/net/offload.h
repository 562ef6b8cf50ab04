/* Work that a card has left to the back end, done here: checksums (RFC 1071). */
#pragma once

#include "netdev.h"

/* The ones' complement sum of bytes, not inverted, added to sum. */
uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t len);
uint16_t checksum_fold(uint32_t sum); /* and inverted; in the byte order of the wire when stored as it is */
/* Puts the checksum in where flags say that it is missing. False: the frame does not have what it says. */
bool offload_finish(uint8_t *frame, size_t len, const struct netdev_offload *offload);
