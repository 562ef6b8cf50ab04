/* A client of the 9P server for tests: builds messages, takes answers apart. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "host/fs/p9.h"
#include "host/fs/server.h"

static struct p9_server *client_server;
static uint8_t client_message[P9_MSIZE_MAX], client_answer[P9_MSIZE_MAX];
static struct p9_in client_in; /* what the last answer says */
static uint32_t client_room = P9_MSIZE_MAX;

/* Sends a message: b, w, d, q are numbers of 1, 2, 4, 8 bytes, s a string; D is bytes with their length (u32) before.
 * Returns 0 or the errno value of the answer, which is then in client_in. */
static int call(enum p9_type type, const char *format, ...)
{
    struct p9_out out = {client_message, client_message + P9_HEADER, client_message + sizeof(client_message), false};
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        if (*format == 's') {
            const char *text = va_arg(args, const char *);
            p9_put_string(&out, text, strlen(text));
        } else if (*format == 'D') {
            const void *bytes = va_arg(args, const void *);
            uint32_t len = va_arg(args, uint32_t);
            p9_put(&out, len, 4);
            p9_put_bytes(&out, bytes, len);
        } else if (*format == 'q') {
            p9_put(&out, va_arg(args, uint64_t), 8);
        } else {
            p9_put(&out, va_arg(args, uint32_t), *format == 'b' ? 1 : *format == 'w' ? 2 : 4);
        }
    }
    va_end(args);
    uint32_t len = (uint32_t)(out.at - client_message);
    out.at = client_message;
    p9_put(&out, len, 4);
    p9_put(&out, type, 1);
    p9_put(&out, 0x1234, 2);
    len = p9_server_answer(client_server, client_message, len, client_answer, client_room);
    g_assert_cmpuint(len, >=, P9_HEADER);
    client_in = (struct p9_in){client_answer, client_answer + len, false};
    g_assert_cmpuint(p9_u32(&client_in), ==, len);
    uint8_t answer = p9_u8(&client_in);
    g_assert_cmphex(p9_u16(&client_in), ==, 0x1234);
    if (answer == P9_RLERROR)
        return (int)p9_u32(&client_in);
    g_assert_cmpuint(answer, ==, type + 1u);
    return 0;
}

static int walk(uint32_t fid, uint32_t newfid, unsigned count, ...)
{
    struct p9_out out = {client_message, client_message + P9_HEADER, client_message + sizeof(client_message), false};
    va_list args;
    p9_put(&out, fid, 4);
    p9_put(&out, newfid, 4);
    p9_put(&out, count, 2);
    va_start(args, count);
    for (unsigned i = 0; i < count; i++) {
        const char *name = va_arg(args, const char *);
        p9_put_string(&out, name, strlen(name));
    }
    va_end(args);
    uint32_t len = (uint32_t)(out.at - client_message);
    out.at = client_message;
    p9_put(&out, len, 4);
    p9_put(&out, P9_TWALK, 1);
    p9_put(&out, 7, 2);
    len = p9_server_answer(client_server, client_message, len, client_answer, client_room);
    client_in = (struct p9_in){client_answer, client_answer + len, false};
    (void)p9_u32(&client_in);
    uint8_t answer = p9_u8(&client_in);
    (void)p9_u16(&client_in);
    if (answer == P9_RLERROR)
        return (int)p9_u32(&client_in);
    /* As v9fs: less than all is not there. */
    return p9_u16(&client_in) == count ? 0 : ENOENT;
}

static int clunk(uint32_t fid)
{
    return call(P9_TCLUNK, "d", fid);
}

struct attributes {
    uint8_t qid_type;
    uint64_t qid_path;
    uint32_t mode, uid, gid;
    uint64_t nlink, rdev, size;
};

static int getattr(uint32_t fid, struct attributes *is)
{
    int why = call(P9_TGETATTR, "dq", fid, (uint64_t)P9_GETATTR_BASIC);
    if (why)
        return why;
    (void)p9_u64(&client_in);
    is->qid_type = p9_u8(&client_in);
    (void)p9_u32(&client_in);
    is->qid_path = p9_u64(&client_in);
    is->mode = p9_u32(&client_in);
    is->uid = p9_u32(&client_in);
    is->gid = p9_u32(&client_in);
    is->nlink = p9_u64(&client_in);
    is->rdev = p9_u64(&client_in);
    is->size = p9_u64(&client_in);
    g_assert_cmpuint(client_in.end - client_in.at, ==, 8 * 12);
    return 0;
}
