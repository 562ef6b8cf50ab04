/* MPU-401 in UART mode, without an instrument at its other end. */
#pragma once

#include "device.h"

struct mpu401;

/* NULL: its two ports are taken. */
struct mpu401 *mpu401_new(uint16_t base);
void mpu401_free(struct mpu401 *mpu);
void mpu401_reset(struct mpu401 *mpu);
void mpu401_pieces(struct mpu401 *mpu, struct state_pieces *pieces);
bool mpu401_is_sane(const struct mpu401 *mpu);
