/* Network back ends as a card sees them, each in its real process: user, socket, stream, dgram, hub; dumps, links,
 * death. No guest: this is the card.
 */
#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devthread.h"
#include "host/net/net.h"
#include "host/net/offload.h"
#include "keyvalue.h"
#include "lock.h"
#include "vclock.h"

struct card {
    struct netdev *netdev;
    GAsyncQueue *frames; /* GBytes */
    bool full;           /* takes nothing */
    bool any_thread;     /* another card on a hub sends on its own */
    unsigned sendable, links;
};

static bool card_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct card *card = opaque;
    g_assert_true(machine_is_locked());
    g_assert_true(card->any_thread || devthread_is_current());
    if (card->full)
        return false;
    g_async_queue_push(card->frames, g_bytes_new(frame, len));
    return true;
}

static void card_link(void *opaque)
{
    ((struct card *)opaque)->links++;
}

static void card_sendable(void *opaque)
{
    ((struct card *)opaque)->sendable++;
}

static struct netdev *net(const char *options)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(options, "-netdev", "type", &error);
    g_assert_no_error(error);
    struct netdev *netdev = net_new(list, &error);
    g_assert_no_error(error);
    keyvalues_free(list);
    return netdev;
}

static unsigned cards;

static struct card *card_new(struct netdev *netdev)
{
    static const struct netdev_front front = {card_receive, card_link, card_sendable};
    struct card *card = g_new0(struct card, 1);
    cards++;
    card->netdev = netdev;
    card->frames = g_async_queue_new_full((GDestroyNotify)g_bytes_unref);
    machine_lock();
    netdev_attach(netdev, &front, card);
    machine_unlock();
    return card;
}

static void card_free(struct card *card)
{
    machine_lock();
    netdev_detach(card->netdev);
    machine_unlock();
    g_async_queue_unref(card->frames);
    g_free(card);
    if (--cards == 0)
        net_close_all();
}

static void machine_start(void)
{
    vclock_attach();
    g_assert_true(devthread_start(NULL));
    machine_lock();
    vclock_start();
    net_resume();
    machine_unlock();
}

static void machine_end(void)
{
    machine_lock();
    vclock_stop();
    machine_unlock();
    devthread_stop();
    vclock_detach();
}

static bool send_frame(struct card *card, const void *frame, size_t len)
{
    machine_lock();
    bool ok = netdev_send_frame(card->netdev, frame, len);
    machine_unlock();
    return ok;
}

static GBytes *next(struct card *card, unsigned ms)
{
    return g_async_queue_timeout_pop(card->frames, ms * 1000);
}

static void expect_nothing(struct card *card, unsigned ms)
{
    g_assert_null(next(card, ms));
}

/* --- Frames --- */

static const uint8_t own_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static size_t arp_request(uint8_t *frame, uint32_t from, uint32_t to)
{
    static const uint8_t head[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34,
                                   0x56, 8,    6,    0,    1,    8,    0,    6,    4, 0,    1};
    memset(frame, 0, 60);
    memcpy(frame, head, sizeof(head));
    memcpy(frame + 22, own_mac, 6);
    from = htonl(from);
    to = htonl(to);
    memcpy(frame + 28, &from, 4);
    memcpy(frame + 38, &to, 4);
    return 60;
}

/* An IPv4 frame with payload; returns its length. */
static size_t ip_frame(uint8_t *frame, const uint8_t mac[6], uint8_t protocol, uint32_t from, uint32_t to,
                       const void *payload, size_t len)
{
    uint8_t *ip = frame + 14;
    memset(frame, 0, 34);
    memcpy(frame, mac, 6);
    memcpy(frame + 6, own_mac, 6);
    frame[12] = 8;
    ip[0] = 0x45;
    ip[2] = (uint8_t)((20 + len) >> 8);
    ip[3] = (uint8_t)(20 + len);
    ip[8] = 64;
    ip[9] = protocol;
    from = htonl(from);
    to = htonl(to);
    memcpy(ip + 12, &from, 4);
    memcpy(ip + 16, &to, 4);
    uint16_t sum = checksum_fold(checksum_add(0, ip, 20));
    memcpy(ip + 10, &sum, 2);
    memcpy(ip + 20, payload, len);
    return 34 + len;
}

#define GATEWAY 0x0a000202u
#define OWN     0x0a00020fu

/* The gateway's Ethernet address. */
static void ask_gateway(struct card *card, uint8_t mac[6])
{
    uint8_t frame[60];
    g_assert_true(send_frame(card, frame, arp_request(frame, OWN, GATEWAY)));
    for (;;) {
        GBytes *answer = next(card, 5000);
        g_assert_nonnull(answer);
        const uint8_t *bytes = g_bytes_get_data(answer, NULL);
        bool is_it = bytes[12] == 8 && bytes[13] == 6 && bytes[21] == 2;
        if (is_it)
            memcpy(mac, bytes + 6, 6);
        g_bytes_unref(answer);
        if (is_it)
            return;
    }
}

/* --- User networking --- */

static void test_user_arp_and_ping(void)
{
    struct card *card = card_new(net("user,id=n0"));
    uint8_t mac[6], frame[2000], echo[64] = {8, 0, 0, 0, 0x12, 0x34, 0, 1};
    g_assert_cmpuint(card->netdev->takes, ==, NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4 | NETDEV_TAKES_TSO6);
    machine_start();
    ask_gateway(card, mac);
    uint16_t sum = checksum_fold(checksum_add(0, echo, sizeof(echo)));
    memcpy(echo + 2, &sum, 2);
    g_assert_true(send_frame(card, frame, ip_frame(frame, mac, 1, OWN, GATEWAY, echo, sizeof(echo))));
    GBytes *answer = next(card, 5000);
    g_assert_nonnull(answer);
    const uint8_t *bytes = g_bytes_get_data(answer, NULL);
    g_assert_cmpmem(bytes, 6, own_mac, 6);
    g_assert_cmpuint(bytes[34], ==, 0); /* an echo reply */
    g_bytes_unref(answer);
    machine_end();
    card_free(card);
}

/* UDP to the gateway is UDP to the host's loopback; the checksum was left to the back end. */
static void test_user_udp_and_checksum(void)
{
    struct card *card = card_new(net("user,id=n0"));
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t len = sizeof(at);
    g_assert_cmpint(bind(server, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    getsockname(server, (struct sockaddr *)&at, &len);
    uint8_t mac[6], frame[2000], udp[13] = {0x30, 0x39, 0, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'}, got[64];
    memcpy(udp + 2, &at.sin_port, 2);
    machine_start();
    ask_gateway(card, mac);
    size_t total = ip_frame(frame, mac, 17, OWN, GATEWAY, udp, sizeof(udp));
    uint8_t pseudo[4] = {0, 17, 0, 13};
    uint16_t sum = (uint16_t)~checksum_fold(checksum_add(checksum_add(0, frame + 26, 8), pseudo, 4));
    memcpy(frame + 40, &sum, 2);
    const struct netdev_offload offload = {.flags = NETDEV_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
    machine_lock();
    g_assert_true(netdev_send(card->netdev, &(struct iovec){frame, total}, 1, &offload));
    machine_unlock();
    struct pollfd wait = {server, POLLIN, 0};
    g_assert_cmpint(poll(&wait, 1, 5000), ==, 1);
    len = sizeof(from);
    ssize_t count = recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&from, &len);
    g_assert_cmpmem(got, (size_t)count, "hello", 5);
    sendto(server, "back", 4, 0, (struct sockaddr *)&from, len);
    GBytes *answer = next(card, 5000);
    g_assert_nonnull(answer);
    const uint8_t *bytes = g_bytes_get_data(answer, NULL);
    g_assert_cmpmem(bytes + 42, 4, "back", 4);
    g_bytes_unref(answer);
    machine_end();
    close(server);
    card_free(card);
}

static unsigned free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    close(fd);
    return ntohs(at.sin_port);
}

static bool can_connect(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool ok = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    close(fd);
    return ok;
}

/* A rule of the command line, and orders while it runs. */
static void test_user_hostfwd(void)
{
    unsigned first = free_port(), second = free_port();
    char *options = g_strdup_printf("user,id=n0,hostfwd=tcp:127.0.0.1:%u-:22", first);
    char *rule = g_strdup_printf("tcp:127.0.0.1:%u-10.0.2.15:80", second),
         *gone = g_strdup_printf("tcp:127.0.0.1:%u", second);
    struct card *card = card_new(net(options));
    GError *error = NULL;
    machine_start();
    g_assert_true(can_connect(first));
    g_assert_true(net_hostfwd_add(NULL, rule, &error));
    g_assert_true(can_connect(second));
    GString *text = g_string_new(NULL);
    net_usernet_print(text);
    g_assert_nonnull(strstr(text->str, "TCP[HOST_FORWARD]"));
    g_string_free(text, TRUE);
    g_assert_false(net_hostfwd_add("n0", rule, &error)); /* in use */
    g_clear_error(&error);
    g_assert_true(net_hostfwd_remove("n0", gone, &error));
    g_assert_false(can_connect(second));
    g_assert_false(net_hostfwd_remove("n0", gone, &error));
    g_clear_error(&error);
    g_assert_false(net_hostfwd_add("n1", rule, &error));
    g_clear_error(&error);
    g_assert_false(net_hostfwd_add("n0", "nonsense", &error));
    g_clear_error(&error);
    machine_end();
    card_free(card);
    g_free(options);
    g_free(rule);
    g_free(gone);
}

static void refused(const char *options, const char *because)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(options, "-netdev", "type", &error);
    g_assert_no_error(error);
    g_assert_null(net_new(list, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, because))
        g_error("%s: '%s'", options, error->message);
    g_clear_error(&error);
    keyvalues_free(list);
}

static void test_refused(void)
{
    refused("user,id=n,net=1.2.3.x", "net");
    refused("user,id=n,net=10.0.0.0/32", "net");
    refused("user,id=n,host=1.1.1.1", "host");
    refused("user,id=n,dhcpstart=10.0.2.2", "dhcpstart");
    refused("user,id=n,ipv4=off,ipv6=off", "neither");
    refused("user,id=n,hostfwd=tcp::99999-:22", "rule");
    refused("user,id=n,hostfwd=tcp::22", "rule");
    refused("user,id=n,guestfwd=tcp:10.0.2.100:80", "guestfwd");
    refused("user,id=n,tftp=/nonexistent", "folder");
    refused("user,id=n,colour=red", "colour");
    refused("user,id=n,restrict=perhaps", "restrict");
    refused("socket,id=n", "exactly one");
    refused("socket,id=n,listen=:1,connect=:2", "exactly one");
    refused("socket,id=n,udp=127.0.0.1:1", "localaddr");
    refused("socket,id=n,fd=77", "fd=77");
    refused("stream,id=n,addr.type=moon", "addr.type");
    refused("stream,id=n,server=on,reconnect=1,addr.type=unix,addr.path=/tmp/x", "reconnect");
    refused("tap,id=n,fd=0,ifname=x", "fd=");
    refused("hubport,id=n,hubid=x", "hubid");
    refused("hubport,id=n,hubid=0,netdev=nobody", "not found");
    refused("carrier-pigeon,id=n", "carrier-pigeon");
    refused("user", "id");
}

/* --- Between two cards --- */

/* All that one sends reaches the other in order, however many and long they are. */
static void pump(struct card *from, struct card *to)
{
    uint8_t frame[1514];
    for (unsigned i = 0, lost = 0; i < 3000;) {
        size_t len = 60 + i * 7919u % 1455;
        memset(frame, (int)i, sizeof(frame));
        memcpy(frame, own_mac, 6);
        memcpy(frame + 14, &i, sizeof(i));
        if (send_frame(from, frame, len)) {
            i++;
        } else {
            g_usleep(1000);
            g_assert_cmpuint(lost++, <, 10000);
        }
    }
    for (unsigned i = 0; i < 3000; i++) {
        GBytes *got = next(to, 5000);
        gsize len;
        uint32_t number;
        g_assert_nonnull(got);
        const uint8_t *bytes = g_bytes_get_data(got, &len);
        memcpy(&number, bytes + 14, sizeof(number));
        g_assert_cmpuint(number, ==, i);
        g_assert_cmpuint(len, ==, 60 + i * 7919u % 1455);
        g_assert_cmpuint(bytes[len - 1], ==, i & 0xff);
        g_bytes_unref(got);
    }
}

/* Sent again until it comes through: the other end may be about to connect. */
static void wait_for_peer(struct card *from, struct card *to)
{
    uint8_t frame[60];
    GBytes *got = NULL;
    memset(frame, 0xee, sizeof(frame));
    for (unsigned i = 0; !got && i < 500; i++) {
        g_assert_true(send_frame(from, frame, sizeof(frame)));
        got = next(to, 20);
    }
    g_assert_nonnull(got);
    g_bytes_unref(got);
    while ((got = next(to, 100)))
        g_bytes_unref(got);
}

static void two(const char *first, const char *second)
{
    struct card *a = card_new(net(first)), *b = card_new(net(second));
    machine_start();
    wait_for_peer(a, b);
    wait_for_peer(b, a);
    pump(a, b);
    pump(b, a);
    machine_end();
    card_free(a);
    card_free(b);
}

static void two_at_port(const char *first, const char *second)
{
    unsigned port = free_port();
    char *a = g_strdup_printf(first, port), *b = g_strdup_printf(second, port);
    two(a, b);
    g_free(a);
    g_free(b);
}

static void test_socket(void)
{
    two_at_port("socket,id=a,listen=127.0.0.1:%u", "socket,id=b,connect=127.0.0.1:%u");
}

static void test_stream_inet(void)
{
    two_at_port("stream,id=a,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%u",
                "stream,id=b,addr.type=inet,addr.host=127.0.0.1,addr.port=%u");
}

static void test_stream_unix(void)
{
    char *dir = g_dir_make_tmp("net-XXXXXX", NULL);
    char *a = g_strdup_printf("stream,id=a,server=on,addr.type=unix,addr.path=%s/s", dir);
    char *b = g_strdup_printf("stream,id=b,reconnect=1,addr.type=unix,addr.path=%s/s", dir);
    two(a, b);
    char *path = g_build_filename(dir, "s", NULL);
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(a);
    g_free(b);
    g_free(dir);
}

static void test_dgram_unix(void)
{
    char *dir = g_dir_make_tmp("net-XXXXXX", NULL);
    char *a = g_strdup_printf("dgram,id=a,local.type=unix,local.path=%s/a,remote.type=unix,remote.path=%s/b", dir, dir);
    char *b = g_strdup_printf("dgram,id=b,local.type=unix,local.path=%s/b,remote.type=unix,remote.path=%s/a", dir, dir);
    two(a, b);
    for (const char *name = "ab"; *name; name++) {
        char *path = g_strdup_printf("%s/%c", dir, *name);
        g_unlink(path);
        g_free(path);
    }
    g_rmdir(dir);
    g_free(a);
    g_free(b);
    g_free(dir);
}

/* Datagrams of the network may be lost when many come at once: one at a time. */
static void test_socket_udp(void)
{
    unsigned first = free_port(), second = free_port();
    char *one = g_strdup_printf("socket,id=a,udp=127.0.0.1:%u,localaddr=127.0.0.1:%u", first, second);
    char *other = g_strdup_printf("socket,id=b,udp=127.0.0.1:%u,localaddr=127.0.0.1:%u", second, first);
    struct card *a = card_new(net(one)), *b = card_new(net(other));
    machine_start();
    wait_for_peer(a, b);
    wait_for_peer(b, a);
    machine_end();
    card_free(a);
    card_free(b);
    g_free(one);
    g_free(other);
}

static void test_hub_wire(void)
{
    struct card *a = card_new(net("hubport,id=a,hubid=0")), *b = card_new(net("hubport,id=b,hubid=0"));
    uint8_t frame[60] = {0};
    vclock_attach();
    g_assert_true(devthread_start(NULL));
    machine_lock();
    vclock_start();
    machine_unlock();
    machine_lock();
    a->any_thread = b->any_thread = true;
    b->full = true;
    g_assert_false(netdev_send_frame(a->netdev, frame, sizeof(frame))); /* as on the wire behind it */
    netdev_ready(b->netdev);
    g_assert_cmpuint(a->sendable, ==, 1);
    machine_unlock();
    machine_end();
    card_free(a);
    card_free(b);
}

/* A user network and two cards on one hub: each hears the gateway's answer. */
static void test_hub_of_three(void)
{
    net("user,id=u");
    net("hubport,id=p0,hubid=7,netdev=u");
    struct card *a = card_new(net("hubport,id=p1,hubid=7")), *b = card_new(net("hubport,id=p2,hubid=7"));
    uint8_t mac[6], frame[60];
    machine_start();
    arp_request(frame, OWN, GATEWAY);
    a->any_thread = b->any_thread = true;
    b->full = true; /* a's own request is not b's to keep */
    ask_gateway(a, mac);
    b->full = false;
    machine_end();
    card_free(a);
    card_free(b);
}

/* The peer comes second, and again after it was away. */
static void test_stream_reconnect(void)
{
    char *dir = g_dir_make_tmp("net-XXXXXX", NULL), *path = g_build_filename(dir, "s", NULL);
    char *second = g_strdup_printf("stream,id=b,reconnect=1,addr.type=unix,addr.path=%s", path);
    char *first = g_strdup_printf("stream,id=a,server=on,addr.type=unix,addr.path=%s", path);
    struct card *b = card_new(net(second)), *a = card_new(net(first));
    machine_start();
    wait_for_peer(a, b);
    wait_for_peer(b, a);
    machine_end();
    card_free(a);
    card_free(b);
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
    g_free(first);
    g_free(second);
}

/* --- What can happen to a cable --- */

/* A card that has no room loses nothing: frames wait, and whoever sends them does. */
static void test_full_card(void)
{
    unsigned port = free_port();
    char *first = g_strdup_printf("socket,id=a,listen=127.0.0.1:%u", port);
    char *second = g_strdup_printf("socket,id=b,connect=127.0.0.1:%u", port);
    struct card *a = card_new(net(first)), *b = card_new(net(second));
    static uint8_t frame[1514];
    unsigned sent = 0;
    machine_start();
    wait_for_peer(a, b);
    b->full = true;
    /* More than all buffers on the way hold. */
    for (int64_t last = g_get_monotonic_time(); g_get_monotonic_time() - last < 500000;) {
        memcpy(frame + 14, &sent, sizeof(sent));
        if (send_frame(a, frame, sizeof(frame))) {
            sent++;
            last = g_get_monotonic_time();
        } else {
            g_usleep(1000);
        }
        g_assert_cmpuint(sent, <, 1000000);
    }
    g_assert_cmpuint(sent, >, 1000);
    machine_lock();
    g_assert_cmpuint(a->sendable, <=, sent);
    unsigned before = a->sendable;
    b->full = false;
    netdev_ready(b->netdev);
    machine_unlock();
    for (unsigned i = 0; i < sent; i++) {
        GBytes *got = next(b, 5000);
        uint32_t number;
        g_assert_nonnull(got);
        memcpy(&number, (const uint8_t *)g_bytes_get_data(got, NULL) + 14, sizeof(number));
        g_assert_cmpuint(number, ==, i);
        g_bytes_unref(got);
    }
    machine_lock();
    g_assert_cmpuint(a->sendable, ==, before + 1);
    machine_unlock();
    machine_end();
    card_free(a);
    card_free(b);
    g_free(first);
    g_free(second);
}

/* While the machine stands nothing is handed over; then it is. */
static void test_standstill(void)
{
    struct card *card = card_new(net("user,id=n0"));
    uint8_t frame[60];
    machine_start();
    machine_lock();
    vclock_stop();
    g_assert_true(netdev_send_frame(card->netdev, frame, arp_request(frame, OWN, GATEWAY)));
    machine_unlock();
    expect_nothing(card, 300);
    machine_lock();
    vclock_start();
    net_resume();
    machine_unlock();
    GBytes *got = next(card, 5000);
    g_assert_nonnull(got);
    g_bytes_unref(got);
    machine_end();
    card_free(card);
}

/* --- A bus, and a processor that looks before it sleeps --- */

static _Atomic unsigned requests;

static void count_request(void *opaque)
{
    requests++;
}

/* That there are more than before; five seconds at most. */
static void wait_for_request(unsigned before)
{
    for (unsigned i = 0; i < 5000 && requests == before; i++)
        g_usleep(1000);
}

static void look(bool last)
{
    machine_lock();
    net_look(last);
    machine_unlock();
}

static void grant(void)
{
    machine_lock();
    net_granted();
    machine_unlock();
}

/* Asked of the gateway; its answer is on its way then. */
static void ask(struct card *card)
{
    uint8_t frame[60];
    g_assert_true(send_frame(card, frame, arp_request(frame, OWN, GATEWAY)));
}

static void expect_answer(struct card *card)
{
    grant();
    GBytes *got = next(card, 0);
    g_assert_nonnull(got);
    g_bytes_unref(got);
}

static void test_looked_at(void)
{
    struct card *card = card_new(net("user,id=n0"));
    card->any_thread = true;
    net_set_bus(count_request, NULL);
    machine_start();
    wait_for_request(0); /* of net_resume() */
    grant();
    /* Who sleeps is woken. */
    for (unsigned round = 0; round < 2; round++) {
        unsigned before = requests;
        ask(card);
        wait_for_request(before);
        g_assert_cmpuint(requests, ==, before + 1);
        expect_answer(card);
        /* Who looks is not, and finds it. */
        look(false);
        before = requests;
        ask(card);
        g_usleep(200000);
        g_assert_cmpuint(requests, ==, before);
        for (unsigned i = 0; i < 5000 && requests == before; i++) {
            look(false);
            g_usleep(1000);
        }
        look(false);
        g_assert_cmpuint(requests, ==, before + 1);
        expect_answer(card);
        /* Who looks for the last time is woken again, and finds what came meanwhile. */
        look(false);
        if (round == 0) {
            look(true);
        } else {
            before = requests;
            ask(card);
            g_usleep(200000);
            look(true);
            wait_for_request(before);
            expect_answer(card);
        }
    }
    expect_nothing(card, 0);
    machine_end();
    net_set_bus(NULL, NULL);
    card_free(card);
}

static void test_set_link(void)
{
    struct card *card = card_new(net("user,id=n0"));
    uint8_t frame[60], mac[6];
    machine_start();
    machine_lock();
    net_set_link(card->netdev, false);
    g_assert_cmpuint(card->links, ==, 1);
    g_assert_false(netdev_link_is_up(card->netdev));
    g_assert_true(netdev_send_frame(card->netdev, frame, arp_request(frame, OWN, GATEWAY))); /* lost */
    machine_unlock();
    expect_nothing(card, 200);
    machine_lock();
    net_set_link(card->netdev, true);
    g_assert_cmpuint(card->links, ==, 2);
    machine_unlock();
    ask_gateway(card, mac);
    machine_end();
    card_free(card);
}

static pid_t child_named(const char *name)
{
    GDir *dir = g_dir_open("/proc", 0, NULL);
    const char *entry;
    pid_t found = 0;
    while ((entry = g_dir_read_name(dir))) {
        char *path = g_strdup_printf("/proc/%s/stat", entry), *text = NULL, state;
        int pid, parent;
        char comm[32];
        if (g_ascii_isdigit(*entry) && g_file_get_contents(path, &text, NULL, NULL) &&
            sscanf(text, "%d (%30[^)]) %c %d", &pid, comm, &state, &parent) == 4 && parent == getpid() &&
            state != 'Z' && strcmp(comm, name) == 0)
            found = pid;
        g_free(text);
        g_free(path);
    }
    g_dir_close(dir);
    return found;
}

/* The death of the process is a pulled cable. */
static void test_death(void)
{
    struct card *card = card_new(net("user,id=n0"));
    uint8_t mac[6], frame[60];
    GError *error = NULL;
    machine_start();
    ask_gateway(card, mac);
    pid_t pid = child_named("ringer-net");
    g_assert_cmpint(pid, >, 0);
    kill(pid, SIGKILL);
    for (unsigned i = 0; i < 500 && !card->links; i++)
        g_usleep(10000);
    g_assert_cmpuint(card->links, ==, 1);
    g_assert_false(netdev_link_is_up(card->netdev));
    for (unsigned i = 0; i < 100000; i++)
        g_assert_true(send_frame(card, frame, arp_request(frame, OWN, GATEWAY)));
    machine_lock();
    net_set_link(card->netdev, true); /* there is nothing to plug it into */
    g_assert_false(netdev_link_is_up(card->netdev));
    machine_unlock();
    g_assert_false(net_hostfwd_add("n0", "tcp::1-:1", &error));
    g_clear_error(&error);
    machine_end();
    card_free(card);
}

static void test_dump(void)
{
    char *dir = g_dir_make_tmp("net-XXXXXX", NULL), *path = g_build_filename(dir, "d.pcap", NULL), *bytes;
    struct card *card = card_new(net("user,id=n0"));
    char *options = g_strdup_printf("filter-dump,id=f0,netdev=n0,maxlen=40,file=%s", path);
    struct keyvalues *list = keyvalues_parse(options, "-object", "qom-type", NULL);
    GError *error = NULL;
    uint8_t mac[6];
    gsize len;
    uint32_t word[10];
    g_assert_true(net_dump_add(list, &error));
    machine_start();
    ask_gateway(card, mac);
    g_assert_true(net_dump_remove("f0", &error));
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    g_assert_cmpuint(len, >=, 24 + 2 * (16 + 40));
    memcpy(word, bytes, sizeof(word));
    g_assert_cmphex(word[0], ==, 0xa1b2c3d4);
    g_assert_cmpuint(word[5], ==, 1);  /* Ethernet */
    g_assert_cmpuint(word[8], ==, 40); /* as much as maxlen says */
    g_assert_cmpuint(word[9], ==, 60);
    g_assert_cmpmem(bytes + 24 + 16 + 6, 6, own_mac, 6);
    machine_end();
    card_free(card);
    g_unlink(path);
    g_rmdir(dir);
    g_free(bytes);
    g_free(path);
    g_free(dir);
    g_free(options);
    keyvalues_free(list);
}

/* A port of the guest's network, and a command of the host's behind it: seen by the forwarding table only, as the
 * guest's TCP is not here. */
static void test_guestfwd_cleans_up(void)
{
    char *tmp = g_dir_make_tmp("net-XXXXXX", NULL);
    g_setenv("TMPDIR", tmp, TRUE);
    struct netdev *netdev = net("user,id=n0,guestfwd=tcp:10.0.2.100:80-cmd:cat");
    g_assert_nonnull(netdev);
    machine_start();
    machine_end();
    net_close_all();
    for (unsigned i = 0; i < 500; i++) { /* its folder of sockets goes away */
        GDir *dir = g_dir_open(tmp, 0, NULL);
        bool is_empty = !g_dir_read_name(dir);
        g_dir_close(dir);
        if (is_empty)
            break;
        g_usleep(10000);
    }
    g_assert_cmpint(g_rmdir(tmp), ==, 0);
    g_unsetenv("TMPDIR");
    g_free(tmp);
}

/* --- While the machine runs --- */

static void broker_start(void)
{
    GError *error = NULL;
    g_assert_true(net_broker_start(&error));
    g_assert_no_error(error);
}

static void test_added_while_it_runs(void)
{
    broker_start();
    machine_start();
    unsigned port = free_port();
    char *first = g_strdup_printf("socket,id=a,listen=127.0.0.1:%u", port);
    char *second = g_strdup_printf("socket,id=b,connect=127.0.0.1:%u", port);
    struct card *a = card_new(net(first)), *b = card_new(net(second));
    wait_for_peer(a, b);
    wait_for_peer(b, a);
    machine_end();
    card_free(a);
    card_free(b);
    g_free(first);
    g_free(second);
}

static void test_broker_runs_no_program(void)
{
    broker_start();
    if (net_has_type("user")) {
        refused("user,id=n,guestfwd=tcp:10.0.2.100:80-cmd:touch /tmp/never", "command line");
        refused("user,id=n,smb=/tmp", "command line");
    }
    refused("tap,id=n,ifname=nothing0,script=/bin/true", "");
    refused("stream,id=n,addr.type=fd,addr.str=3", "command line");
    refused("socket,id=n,fd=3", "command line");
}

/* Back ends with frames on their way vanish, again and again. */
static void test_come_and_go(void)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    GError *error = NULL;
    broker_start();
    machine_start();
    cards++; /* not all are closed meanwhile, nor is the broker */
    for (unsigned i = 0; i < 20; i++) {
        unsigned port = free_port();
        char *first = g_strdup_printf("socket,id=a,listen=127.0.0.1:%u", port);
        char *second = g_strdup_printf("socket,id=b,connect=127.0.0.1:%u", port);
        struct card *a = card_new(net(first));
        net(second); /* nobody takes what comes there */
        g_usleep(5000);
        for (unsigned n = 0; n < 200; n++)
            send_frame(a, frame, sizeof(frame));
        machine_lock();
        g_assert_true(net_remove("b", &error));
        g_assert_false(net_remove("a", &error)); /* in use */
        g_clear_error(&error);
        machine_unlock();
        card_free(a);
        machine_lock();
        g_assert_true(net_remove("a", &error));
        machine_unlock();
        g_free(first);
        g_free(second);
    }
    machine_end();
    cards--;
    net_close_all();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/net/refused", test_refused);
    if (net_has_type("user")) {
        g_test_add_func("/net/user/arp_and_ping", test_user_arp_and_ping);
        g_test_add_func("/net/user/udp_and_checksum", test_user_udp_and_checksum);
        g_test_add_func("/net/user/hostfwd", test_user_hostfwd);
        g_test_add_func("/net/user/guestfwd_cleans_up", test_guestfwd_cleans_up);
        g_test_add_func("/net/hub/of_three", test_hub_of_three);
        g_test_add_func("/net/standstill", test_standstill);
        g_test_add_func("/net/looked_at", test_looked_at);
        g_test_add_func("/net/set_link", test_set_link);
        g_test_add_func("/net/death", test_death);
        g_test_add_func("/net/dump", test_dump);
    }
    g_test_add_func("/net/socket", test_socket);
    g_test_add_func("/net/socket_udp", test_socket_udp);
    g_test_add_func("/net/stream_inet", test_stream_inet);
    g_test_add_func("/net/stream_unix", test_stream_unix);
    g_test_add_func("/net/dgram_unix", test_dgram_unix);
    g_test_add_func("/net/hub/wire", test_hub_wire);
    g_test_add_func("/net/full_card", test_full_card);
    g_test_add_func("/net/stream_reconnect", test_stream_reconnect);
    /* From here on they are made as netdev_add makes them. */
    g_test_add_func("/net/z_broker/added_while_it_runs", test_added_while_it_runs);
    g_test_add_func("/net/z_broker/runs_no_program", test_broker_runs_no_program);
    g_test_add_func("/net/z_broker/come_and_go", test_come_and_go);
    return g_test_run();
}
