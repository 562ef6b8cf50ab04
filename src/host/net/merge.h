/* TCP segments that follow each other, as one frame with its segmentation left open: for cards that take that. */
#pragma once

#include "process.h"

struct merge;
struct merge *merge_new(struct netproc *process);
/* A frame to the card; it may stay here until merge_flush(). takes: netdev.front_takes. */
void merge_put(struct merge *merge, const uint8_t *frame, size_t len, uint8_t takes);
void merge_flush(struct merge *merge);
