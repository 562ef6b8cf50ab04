/* Chance that can be had again: what all storms draw from. */
#pragma once

#include <glib.h>
#include <stdint.h>

static uint64_t seed_state;

static uint32_t rnd(void)
{
    seed_state = seed_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed_state >> 32);
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}
