/* 9P2000.L on the wire: numbers, and the reading and writing of messages.
 *
 * A message is u32 size (of all of it), u8 type, u16 tag, and what its type says; all little endian. A string is u16
 * length and so many bytes; a qid is u8 type, u32 version, u64 path. (9P manual, section 5; the .L dialect is described
 * in the diod project's protocol.md.)
 */
#pragma once

#include <glib.h>
#include <string.h>

#include "types.h"

#define P9_HEADER   7u
#define P9_RLERROR  7u
#define P9_ERROR    (P9_HEADER + 4) /* bytes of an Rlerror */
#define P9_QID      13u
#define P9_IO_MAX   24u /* what a read or write has around its bytes, at most */
#define P9_NAME_MAX 255u
#define P9_WALK_MAX 16u
#define P9_NO_FID   0xffffffffu

/* Requests; the answer's number is one more. */
enum p9_type {
    P9_TSTATFS = 8,
    P9_TLOPEN = 12,
    P9_TLCREATE = 14,
    P9_TSYMLINK = 16,
    P9_TMKNOD = 18,
    P9_TRENAME = 20,
    P9_TREADLINK = 22,
    P9_TGETATTR = 24,
    P9_TSETATTR = 26,
    P9_TXATTRWALK = 30,
    P9_TXATTRCREATE = 32,
    P9_TREADDIR = 40,
    P9_TFSYNC = 50,
    P9_TLOCK = 52,
    P9_TGETLOCK = 54,
    P9_TLINK = 70,
    P9_TMKDIR = 72,
    P9_TRENAMEAT = 74,
    P9_TUNLINKAT = 76,
    P9_TVERSION = 100,
    P9_TAUTH = 102,
    P9_TATTACH = 104,
    P9_TFLUSH = 108,
    P9_TWALK = 110,
    P9_TREAD = 116,
    P9_TWRITE = 118,
    P9_TCLUNK = 120,
    P9_TREMOVE = 122,
};

#define P9_QID_DIR     0x80u
#define P9_QID_SYMLINK 0x02u

#define P9_SETATTR_MODE      0x001u
#define P9_SETATTR_UID       0x002u
#define P9_SETATTR_GID       0x004u
#define P9_SETATTR_SIZE      0x008u
#define P9_SETATTR_ATIME     0x010u
#define P9_SETATTR_MTIME     0x020u
#define P9_SETATTR_CTIME     0x040u
#define P9_SETATTR_ATIME_SET 0x080u
#define P9_SETATTR_MTIME_SET 0x100u
#define P9_GETATTR_BASIC     0x7ffu
#define P9_UNLINKAT_DIR      0x200u /* AT_REMOVEDIR, as Linux has it everywhere */
#define P9_LOCK_SUCCESS      0u
#define P9_UNLOCKED          2u

/* What comes. The memory may change while it is looked at: each byte is taken once. */
struct p9_in {
    const uint8_t *at, *end;
    bool bad; /* something was asked for that is not there */
};

static inline const uint8_t *p9_take(struct p9_in *in, size_t len)
{
    const uint8_t *at = in->at;
    if (in->bad || (size_t)(in->end - in->at) < len) {
        in->bad = true;
        return NULL;
    }
    in->at += len;
    return at;
}

static inline uint64_t p9_take_number(struct p9_in *in, unsigned size)
{
    uint64_t value = 0;
    const uint8_t *at = p9_take(in, size);
    if (at)
        memcpy(&value, at, size);
    return value;
}

static inline uint8_t p9_u8(struct p9_in *in)
{
    return (uint8_t)p9_take_number(in, 1);
}
static inline uint16_t p9_u16(struct p9_in *in)
{
    return (uint16_t)p9_take_number(in, 2);
}
static inline uint32_t p9_u32(struct p9_in *in)
{
    return (uint32_t)p9_take_number(in, 4);
}
static inline uint64_t p9_u64(struct p9_in *in)
{
    return p9_take_number(in, 8);
}

/* Its length; text has max + 1 bytes and ends with 0. What is longer gives max + 1 and an empty text. */
static inline size_t p9_string(struct p9_in *in, char *text, size_t max)
{
    size_t len = p9_u16(in);
    const uint8_t *at = p9_take(in, len);
    text[0] = 0;
    if (!at)
        return 0;
    if (len > max)
        return max + 1;
    memcpy(text, at, len);
    text[len] = 0;
    return len;
}

/* What goes. */
struct p9_out {
    uint8_t *start, *at, *end;
    bool full; /* more than there is room for */
};

static inline uint8_t *p9_give(struct p9_out *out, size_t len)
{
    uint8_t *at = out->at;
    if (out->full || (size_t)(out->end - out->at) < len) {
        out->full = true;
        return NULL;
    }
    out->at += len;
    return at;
}

static inline void p9_put(struct p9_out *out, uint64_t value, unsigned size)
{
    uint8_t *at = p9_give(out, size);
    if (at)
        memcpy(at, &value, size);
}

static inline void p9_put_bytes(struct p9_out *out, const void *bytes, size_t len)
{
    uint8_t *at = p9_give(out, len);
    if (at && len)
        memcpy(at, bytes, len);
}

static inline void p9_put_string(struct p9_out *out, const char *text, size_t len)
{
    p9_put(out, len, 2);
    p9_put_bytes(out, text, len);
}

static inline size_t p9_room(const struct p9_out *out)
{
    return out->full ? 0 : (size_t)(out->end - out->at);
}
