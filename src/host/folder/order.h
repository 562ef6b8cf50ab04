/* What goes over the socket between a drive and a folder's process: an order, with data to be written behind it; an
 * answer, with text for the user and then data read behind it. See folder.h. */
#pragma once

#include <errno.h>
#include <unistd.h>

#include "host/block/image_fat.h"

enum order_kind { ORDER_READ, ORDER_WRITE, ORDER_FLUSH, ORDER_REFRESH, ORDER_FINISH, ORDER_AGAIN };

#define ORDER_MAX (1u * MiB) /* bytes at once */
#define TEXT_MAX  4096u

struct order {
    uint32_t kind, len;
    uint64_t offset;
};

struct answer {
    int32_t code;
    uint32_t text_len; /* sentences, each with a zero */
    uint64_t size;     /* of the disk */
};

/* Descriptors in the process, from PROCESS_FD on. */
enum folder_fd { FOLDER_SOCKET, FOLDER_ROOT, FOLDER_STORE, FOLDER_FDS };

_Noreturn void folder_process_main(const struct fat_options *options);

/* False: the other end is gone. */
static inline bool socket_read(int fd, void *buffer, size_t len)
{
    for (uint8_t *at = buffer; len > 0;) {
        ssize_t got = read(fd, at, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

static inline bool socket_write(int fd, const void *buffer, size_t len)
{
    for (const uint8_t *at = buffer; len > 0;) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return true;
}
