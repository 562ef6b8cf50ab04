/* An OPL3 with its stream and ports: the AdLib card, and part of a Sound Blaster. There is one on a board, whoever
 * brings it. */
#pragma once

#include "device.h"

struct opl_card;

struct opl_card *opl_card_new(struct audiodev *audiodev);
void opl_card_free(struct opl_card *opl);
void opl_card_reset(struct opl_card *opl);
/* Four ports from there on: address and value, of each half of the registers. Two: an OPL2's. */
void opl_card_add_ports(struct opl_card *opl, uint16_t first, unsigned count);
void opl_card_set_volume(struct opl_card *opl, uint32_t left, uint32_t right);
void opl_card_pieces(struct opl_card *opl, struct state_pieces *pieces);
void opl_card_before_save(struct opl_card *opl);
bool opl_card_after_load(struct opl_card *opl); /* false: values that make no sense, and nothing was done */
void opl_card_dump(struct opl_card *opl, GString *out);
