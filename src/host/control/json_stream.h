/* JSON values out of a stream of bytes that may be split anywhere, as QMP clients send them. */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "types.h"

struct json_stream;

/* Called for each value; NULL: what came is none, and error says why. The value is the callee's to release. */
typedef void json_stream_fn(void *opaque, json_t *value, const char *error);

/* limit: bytes of the longest value; what is longer is an error, and costs no more memory than that. */
struct json_stream *json_stream_new(size_t limit, json_stream_fn *take, void *opaque);
void json_stream_free(struct json_stream *stream);
/* take() may be called several times. It may not free the stream. */
void json_stream_feed(struct json_stream *stream, const uint8_t *bytes, size_t len);
/* A new sender: what has come of a value so far is forgotten. */
void json_stream_reset(struct json_stream *stream);
