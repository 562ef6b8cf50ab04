/* Character devices on real sockets, pipes and terminals, with peers that stall, flood and vanish.
 *
 * The test is the front; the device thread and the dialer are real. Time runs (vclock) unless a test stops it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "devthread.h"
#include "files.h"
#include "host/char/char_internal.h"
#include "lock.h"
#include "vclock.h"

static char *folder;

static const char *in_folder(const char *name)
{
    char *path = g_build_filename(folder, name, NULL);
    const char *kept = g_intern_string(path);
    g_free(path);
    return kept;
}

/* --- A front --- */

struct front {
    struct chardev *chardev;
    GString *got;
    char events[64]; /* O open, C closed, B break, f focus, u unfocus */
    size_t room;
    unsigned writables;
    const uint8_t *rest; /* of what is to be written */
    size_t rest_len;
};

static size_t front_room(void *opaque)
{
    return ((struct front *)opaque)->room;
}

static void front_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    struct front *front = opaque;
    g_assert_cmpuint(len, <=, front->room);
    g_assert_true(machine_is_locked());
    g_string_append_len(front->got, (const char *)bytes, (gssize)len);
}

static void write_more(struct front *front)
{
    while (front->rest_len) {
        size_t taken = front->chardev->ops->write(front->chardev, front->rest, front->rest_len);
        front->rest += taken;
        front->rest_len -= taken;
        if (!taken)
            break;
    }
}

static void front_writable(void *opaque)
{
    struct front *front = opaque;
    g_assert_true(machine_is_locked());
    front->writables++;
    write_more(front);
}

static void front_event(void *opaque, enum chardev_event event)
{
    struct front *front = opaque;
    size_t len = strlen(front->events);
    if (len + 1 < sizeof(front->events))
        front->events[len] = "OCBfu"[event];
}

static const struct chardev_front device = {front_room, front_receive, front_writable, front_event, false};
static const struct chardev_front control = {front_room, front_receive, front_writable, front_event, true};

static void attach(struct front *front, struct chardev *chardev, const struct chardev_front *kind)
{
    *front = (struct front){.chardev = chardev, .got = g_string_new(NULL), .room = SIZE_MAX};
    machine_lock();
    g_assert_true(chardev_attach(chardev, kind, front));
    machine_unlock();
}

static void detach(struct front *front)
{
    machine_lock();
    chardev_detach(front->chardev, front);
    machine_unlock();
    g_string_free(front->got, TRUE);
}

/* The front's, after a moment. */
#define EVENTUALLY(condition) \
    do { \
        int64_t give_up_ = g_get_monotonic_time() + 10 * G_USEC_PER_SEC; \
        bool ok_ = false; \
        while (!ok_ && g_get_monotonic_time() < give_up_) { \
            machine_lock(); \
            ok_ = (condition); \
            machine_unlock(); \
            if (!ok_) \
                g_usleep(1000); \
        } \
        if (!ok_) \
            g_error("%s:%d: not within 10 s: %s", __FILE__, __LINE__, #condition); \
    } while (0)
#define GETS(front, text)  EVENTUALLY(strcmp((front)->got->str, text) == 0)
#define HEARS(front, what) EVENTUALLY(strcmp((front)->events, what) == 0)

static void say(struct front *front, const char *text)
{
    machine_lock();
    g_assert_cmpuint(front->chardev->ops->write(front->chardev, (const uint8_t *)text, strlen(text)), ==, strlen(text));
    machine_unlock();
}

static struct chardev *made(const char *text)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(text, "-chardev", "backend", &error);
    g_assert_no_error(error);
    struct chardev *chardev = chardev_new(list, &error);
    g_assert_no_error(error);
    keyvalues_free(list);
    return chardev;
}

static void refused(const char *text, const char *what)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(text, "-chardev", "backend", &error);
    if (chardev_new(list, &error))
        g_error("%s: is taken", text);
    keyvalues_free(list);
    if (!strstr(error->message, what))
        g_error("%s: '%s' does not say '%s'", text, error->message, what);
    g_error_free(error);
}

static struct chardev *madef(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct chardev *madef(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = g_strdup_vprintf(fmt, args);
    va_end(args);
    struct chardev *chardev = made(text);
    g_free(text);
    return chardev;
}

static void end(struct front *front)
{
    struct chardev *chardev = front->chardev;
    detach(front);
    chardev_close(chardev);
}

struct look {
    const char *id;
    char *filename;
    bool frontend;
};

static void look_each(void *opaque, const struct chardev_description *description)
{
    struct look *look = opaque;
    if (strcmp(description->id, look->id) == 0) {
        look->filename = g_strdup(description->filename);
        look->frontend = description->frontend_is_open;
    }
}

static void assert_filename(const char *id, const char *want)
{
    struct look look = {.id = id};
    chardev_each(look_each, &look);
    g_assert_nonnull(look.filename);
    if (!g_pattern_match_simple(want, look.filename))
        g_error("%s: '%s' is not '%s'", id, look.filename, want);
    g_free(look.filename);
}

/* --- A peer --- */

static int unix_connect(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(at.sun_path, path, sizeof(at.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    return fd;
}

static int tcp_socket(uint16_t *port, bool listens)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listens) {
        at.sin_port = htons(*port);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        g_assert_cmpint(bind(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
        g_assert_cmpint(listen(fd, 5), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *)&at, &len), ==, 0);
        *port = ntohs(at.sin_port);
    } else {
        at.sin_port = htons(*port);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    }
    return fd;
}

static int accept_within(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    g_assert_cmpint(poll(&poll_fd, 1, 10000), ==, 1);
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(client, >=, 0);
    return client;
}

static void send_all(int fd, const void *bytes, size_t len)
{
    g_assert_cmpint(send(fd, bytes, len, MSG_NOSIGNAL), ==, (gssize)len);
}

/* Reads until it has seen text. */
static void expect_bytes(int fd, const void *text, size_t len)
{
    GString *got = g_string_new(NULL);
    while (got->len < len) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        char bytes[4096];
        if (poll(&poll_fd, 1, 10000) != 1)
            g_error("only '%s' came", got->str);
        ssize_t part = read(fd, bytes, MIN(sizeof(bytes), len - got->len));
        g_assert_cmpint(part, >, 0);
        g_string_append_len(got, bytes, part);
    }
    g_assert_cmpmem(got->str, got->len, text, len);
    g_string_free(got, TRUE);
}

static void expect(int fd, const char *text)
{
    expect_bytes(fd, text, strlen(text));
}

static void expect_end(int fd)
{
    char byte;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    g_assert_cmpint(poll(&poll_fd, 1, 10000), ==, 1);
    g_assert_cmpint(read(fd, &byte, 1), <=, 0);
    close(fd);
}

static bool is_quiet(int fd, int ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, ms) == 0;
}

static char *file_text(const char *path)
{
    char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static bool file_is(const char *path, const char *want)
{
    char *text = file_text(path);
    bool same = strcmp(text, want) == 0;
    g_free(text);
    return same;
}

/* --- What users write --- */

static void assert_list(const struct keyvalues *list, const char *want)
{
    GString *text = g_string_new(NULL);
    for (unsigned n = 0; n < list->item->len; n++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, n);
        g_string_append_printf(text, "%s%s=%s", n ? " " : "", item->key, item->value);
    }
    g_assert_cmpstr(text->str, ==, want);
    g_string_free(text, TRUE);
}

static void test_short_forms(void)
{
    static const char *const forms[][2] = {
        {"stdio", "id=s backend=stdio"},
        {"mon:stdio", "id=s mux=on signal=off backend=stdio"},
        {"mon:tcp::4444,server", "id=s mux=on host= port=4444 backend=socket server=on"},
        {"null", "id=s backend=null"},
        {"pty", "id=s backend=pty"},
        {"vc", "id=s backend=vc"},
        {"vc:800x600", "id=s backend=vc width=800 height=600"},
        {"vc:80Cx24C", "id=s backend=vc cols=80 rows=24"},
        {"msmouse", "id=s backend=msmouse"},
        {"file:/a,b", "id=s backend=file path=/a,b"},
        {"pipe:/a", "id=s backend=pipe path=/a"},
        {"tcp:h:1,server,nowait", "id=s host=h port=1 backend=socket server=on wait=off"},
        {"tcp:[::1]:1,nodelay,reconnect=2", "id=s host=[::1] port=1 backend=socket delay=off reconnect=2"},
        {"telnet:h:1,server=on,wait=off", "id=s telnet=on host=h port=1 backend=socket server=on wait=off"},
        {"unix:/a,,b,server,nowait", "id=s backend=socket path=/a,b server=on wait=off"},
        {"udp:h:1", "id=s host=h port=1 backend=udp"},
        {"udp::1@:2", "id=s host= port=1 localaddr= localport=2 backend=udp"},
        {"udp:h:1@g:2", "id=s host=h port=1 localaddr=g localport=2 backend=udp"},
        {"/dev/ttyS0", "id=s backend=serial path=/dev/ttyS0"},
        {"/dev/parport0", "id=s backend=parallel path=/dev/parport0"},
        {"chardev:x", "chardev=x"},
    };
    static const char *const bad[] = {"carrier-pigeon", "tcp:foo",   "tcp:h:", "udp:",    "unix:",   "vc:1", "vc:axb",
                                      "vc:1x2x",        "udp:h:1@x", "",       "chardev", "telnet:", "mon:"};
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        GError *error = NULL;
        struct keyvalues *list = chardev_short_form(forms[i][0], "s", &error);
        g_assert_no_error(error);
        assert_list(list, forms[i][1]);
        keyvalues_free(list);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        if (chardev_short_form(bad[i], "s", &error))
            g_error("'%s' is understood", bad[i]);
        g_clear_error(&error);
    }
}

static void test_refused(void)
{
    refused("null,id=1a", "Parameter 'id' expects an identifier");
    refused("null,id=a/b", "Parameter 'id' expects an identifier");
    refused("null", "chardev: no id specified");
    refused("pigeon,id=a", "'pigeon' is not a valid char driver name");
    refused("null,id=a,colour=red", "Invalid parameter 'colour'");
    refused("null,id=a,mux=2", "Parameter 'mux' expects 'on' or 'off'");
    refused("braille,id=a", "no braille");
    refused("parport,id=a,path=/dev/parport0", "parallel ports");
    refused("file,id=a", "no filename given");
    refused("file,id=a,path=/no/where", "Could not open '/no/where': No such file or directory");
    refused("pipe,id=a", "no device path given");
    refused("pipe,id=a,path=/no/where", "Could not open '/no/where': No such file");
    refused("serial,id=a", "no device path given");
    refused("tty,id=a,path=/no/where", "Could not open");
    refused("udp,id=a,host=x", "remote port not specified");
    refused("udp,id=a,port=99999999", "is no port");
    refused("socket,id=a", "give path=");
    refused("socket,id=a,path=x,host=y,port=1", "None or one of 'path', 'fd' or 'host' option required.");
    refused("socket,id=a,host=x", "no port given");
    refused("socket,id=a,path=/no/where", "Failed to connect to '/no/where': No such file or directory");
    refused("socket,id=a,path=/no/where,server=on", "Failed to bind socket to /no/where: No such file or directory");
    refused("socket,id=a,path=x,server=on,reconnect=1", "'reconnect' option is incompatible with socket in server");
    refused("socket,id=a,path=x,wait=on", "'wait' option is incompatible with socket in client connect mode");
    refused("socket,id=a,fd=0", "File descriptor '0' is not a socket");
    refused("socket,id=a,fd=mine", "Unable to parse FD number mine");
    refused("socket,id=a,path=x,tls-creds=t", "no TLS");
    refused("socket,id=a,host=x,port=1,tn3270=on", "3270");
    refused("socket,id=a,host=x,port=1,websocket=on", "websockets");
    refused("socket,id=a,path=x,reconnect=soon", "'reconnect' expects");
    refused("ringbuf,id=a,size=1000", "must be power of two");
    refused("null,id=a,logfile=/no/where", "Unable to open logfile /no/where");
    char *path = g_strnfill(200, 'x'), *text = g_strdup_printf("socket,id=a,path=%s,server=on", path);
    refused(text, "too long");
    g_free(text);
    g_free(path);
    struct chardev *chardev = made("null,id=a");
    refused("null,id=a", "Duplicate ID 'a' for chardev");
    chardev_close(chardev);
    chardev_close(made("null,id=a"));
}

static void test_busy(void)
{
    struct front front;
    GError *error = NULL;
    attach(&front, made("null,id=a"), &device);
    assert_filename("a", "null");
    g_assert_false(chardev_attach(front.chardev, &device, &error));
    g_assert_false(chardev_remove("a", &error));
    g_assert_cmpstr(error->message, ==, "Chardev 'a' is busy");
    g_clear_error(&error);
    detach(&front);
    g_assert_true(chardev_remove("a", &error));
    g_assert_false(chardev_remove("a", &error));
    g_assert_cmpstr(error->message, ==, "Chardev 'a' not found");
    g_clear_error(&error);
}

/* --- Files, pipes, terminals --- */

static void test_file_and_log(void)
{
    const char *path = in_folder("out"), *log = in_folder("log");
    for (unsigned round = 0; round < 3; round++) {
        struct front front;
        attach(&front,
               madef("file,id=a,path=%s,append=%s,logfile=%s,logappend=%s", path, round == 1 ? "on" : "off", log,
                     round == 2 ? "on" : "off"),
               &device);
        HEARS(&front, "O");
        assert_filename("a", "file");
        say(&front, "one ");
        end(&front);
        EVENTUALLY(file_is(path, round == 1 ? "one one " : "one "));
        EVENTUALLY(file_is(log, round == 2 ? "one one " : "one "));
    }
}

/* What nobody takes is still in the log. */
static void test_log_of_a_socket(void)
{
    struct front front;
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off,logfile=%s", in_folder("s"), in_folder("log2")),
           &device);
    say(&front, "to nobody");
    end(&front);
    EVENTUALLY(file_is(in_folder("log2"), "to nobody"));
}

static void test_pipe(void)
{
    struct front front;
    g_assert_cmpint(mkfifo(in_folder("p.in"), 0600), ==, 0);
    g_assert_cmpint(mkfifo(in_folder("p.out"), 0600), ==, 0);
    attach(&front, madef("pipe,id=a,path=%s", in_folder("p")), &device);
    int in = open(in_folder("p.in"), O_WRONLY | O_CLOEXEC), out = open(in_folder("p.out"), O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(write(in, "hello", 5), ==, 5);
    GETS(&front, "hello");
    say(&front, "answer");
    expect(out, "answer");
    close(in); /* a writer that goes is no end */
    in = open(in_folder("p.in"), O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(write(in, "again", 5), ==, 5);
    GETS(&front, "helloagain");
    close(in);
    close(out);
    end(&front);
    /* A reader that does not come: a front with a handshake waits, and is told. */
    g_assert_cmpint(mkfifo(in_folder("q"), 0600), ==, 0);
    attach(&front, madef("pipe,id=a,path=%s", in_folder("q")), &device);
    uint8_t *much = g_malloc0(1 << 20);
    machine_lock();
    front.rest = much;
    front.rest_len = 1 << 20;
    write_more(&front);
    g_assert_cmpuint(front.rest_len, >, 0);
    machine_unlock();
    end(&front);
    g_free(much);
}

static void test_pty(void)
{
    struct front front;
    attach(&front, made("pty,id=a"), &device);
    const char *path = chardev_pty_path(front.chardev);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    char *name = g_strdup_printf("pty:%s", path);
    assert_filename("a", name);
    g_free(name);
    g_assert_cmpint(write(fd, "hello\r", 6), ==, 6);
    GETS(&front, "hello\r");
    say(&front, "answer\n");
    expect(fd, "answer\n");
    close(fd);
    fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC); /* the next one */
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    GETS(&front, "hello\rx");
    close(fd);
    end(&front);
}

/* A terminal of the host's: here a pseudo-terminal. */
static void test_serial(void)
{
    struct front front, other;
    struct termios termios;
    attach(&front, made("pty,id=a"), &device);
    attach(&other, madef("serial,id=b,path=%s", chardev_pty_path(front.chardev)), &device);
    assert_filename("b", "serial");
    say(&other, "to the pty\n");
    GETS(&front, "to the pty\n");
    say(&front, "from it\n");
    GETS(&other, "from it\n");
    g_assert_cmpint(tcgetattr(((struct stream *)other.chardev)->in_fd, &termios), ==, 0);
    g_assert_cmpuint(termios.c_lflag & (ECHO | ICANON), ==, 0);
    end(&other);
    end(&front);
}

static void test_ringbuf(void)
{
    GError *error = NULL;
    GByteArray *bytes = g_byte_array_new();
    struct front front;
    attach(&front, made("ringbuf,id=a,size=8"), &device);
    assert_filename("a", "ringbuf");
    say(&front, "abcdef");
    g_assert_true(chardev_ringbuf_read("a", 2, bytes, &error));
    g_assert_cmpmem(bytes->data, bytes->len, "ab", 2);
    say(&front, "ghijkl"); /* the oldest go */
    g_assert_true(chardev_ringbuf_write("a", (const uint8_t *)"!", 1, &error));
    g_byte_array_set_size(bytes, 0);
    g_assert_true(chardev_ringbuf_read("a", 100, bytes, &error));
    g_assert_cmpmem(bytes->data, bytes->len, "fghijkl!", 8);
    g_byte_array_set_size(bytes, 0);
    g_assert_true(chardev_ringbuf_read("a", 100, bytes, &error));
    g_assert_cmpuint(bytes->len, ==, 0);
    g_assert_false(chardev_ringbuf_read("b", 1, bytes, &error));
    g_assert_cmpstr(error->message, ==, "Device 'b' not found");
    g_clear_error(&error);
    struct chardev *null = made("null,id=b");
    g_assert_false(chardev_ringbuf_read("b", 1, bytes, &error));
    g_assert_cmpstr(error->message, ==, "b is not a ringbuf device");
    g_clear_error(&error);
    chardev_close(null);
    g_byte_array_unref(bytes);
    end(&front);
    attach(&front, made("vc,id=a"), &device);
    say(&front, "nobody sees this");
    end(&front);
}

static void test_msmouse(void)
{
    struct front front;
    g_assert_false(msmouse_event(1, 1, 0));
    attach(&front, made("msmouse,id=a"), &device);
    machine_lock();
    front.chardev->ops->set_lines(front.chardev, true, false);
    front.chardev->ops->set_lines(front.chardev, true, true);
    machine_unlock();
    g_assert_cmpstr(front.got->str, ==, "M3");
    g_string_truncate(front.got, 0);
    g_assert_true(msmouse_event(5, -3, 1));
    g_assert_cmpmem(front.got->str, front.got->len, "\x6c\x05\x3d", 3);
    g_string_truncate(front.got, 0);
    msmouse_event(0, 0, 4);
    g_assert_cmpmem(front.got->str, front.got->len, "\x40\x00\x00\x20", 4);
    g_string_truncate(front.got, 0);
    msmouse_event(200, 0, 4); /* in two */
    g_assert_cmpmem(front.got->str, front.got->len, "\x41\x3f\x00\x41\x09\x00", 6);
    front.room = 0; /* a guest that does not look: moves are added up */
    for (unsigned i = 0; i < 10000; i++)
        msmouse_event(1, 1, i & 1);
    g_assert_cmpuint(((struct host_chardev *)front.chardev)->in->len, <, 40);
    end(&front);
}

/* --- Sockets --- */

static void test_server(void)
{
    struct front front;
    const char *path = in_folder("server");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    char *name = g_strdup_printf("disconnected:unix:%s,server=on", path);
    assert_filename("a", name);
    say(&front, "to nobody");
    int fd = unix_connect(path);
    HEARS(&front, "O");
    assert_filename("a", name + strlen("disconnected:"));
    send_all(fd, "hello", 5);
    GETS(&front, "hello");
    say(&front, "answer");
    expect(fd, "answer");
    /* The next waits until this one goes. */
    int second = unix_connect(path);
    send_all(second, "second", 6);
    g_assert_true(is_quiet(second, 50));
    GETS(&front, "hello");
    close(fd);
    GETS(&front, "hellosecond");
    HEARS(&front, "OCO");
    say(&front, "x");
    expect(second, "x");
    end(&front);
    expect_end(second);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    /* A name left by somebody who died is taken; a file is not. */
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_strlcpy(at.sun_path, path, sizeof(at.sun_path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    close(fd);
    chardev_close(madef("socket,id=a,path=%s,server=on,wait=off", path));
    g_assert_true(g_file_set_contents(path, "mine", 4, NULL));
    char *text = g_strdup_printf("socket,id=a,path=%s,server=on,wait=off", path);
    refused(text, "Failed to bind socket");
    g_assert_true(file_is(path, "mine"));
    g_unlink(path);
    g_free(text);
    g_free(name);
}

static void test_abstract(void)
{
    struct front server, client;
    attach(&server, made("socket,id=a,path=ringer-test,abstract=on,server=on,wait=off"), &device);
    assert_filename("a", "disconnected:unix:ringer-test,abstract=on,tight=on,server=on");
    attach(&client, made("socket,id=b,path=ringer-test,abstract=on"), &device);
    say(&client, "hello");
    GETS(&server, "hello");
    end(&client);
    HEARS(&server, "OC");
    end(&server);
}

static void test_tcp(void)
{
    struct front server, client;
    uint16_t port = 0;
    close(tcp_socket(&port, true));
    attach(&server, madef("socket,id=a,host=localhost,port=%u,server=on,wait=off", port), &device);
    assert_filename("a", "disconnected:tcp:127.0.0.1:*,server=on");
    attach(&client, madef("socket,id=b,host=127.0.0.1,port=%u,nodelay=on", port), &device);
    HEARS(&server, "O");
    HEARS(&client, "O");
    char *name = g_strdup_printf("tcp:127.0.0.1:%u,server=on <-> 127.0.0.1:*", port);
    assert_filename("a", name);
    g_free(name);
    name = g_strdup_printf("tcp:127.0.0.1:* <-> 127.0.0.1:%u", port);
    assert_filename("b", name);
    g_free(name);
    say(&client, "hello");
    GETS(&server, "hello");
    say(&server, "answer");
    GETS(&client, "answer");
    end(&server);
    HEARS(&client, "OC");
    assert_filename("b", "disconnected:tcp:127.0.0.1:*");
    say(&client, "to nobody");
    end(&client);
    /* to=: the next port that is free */
    int taken = tcp_socket(&port, true);
    attach(&server, madef("socket,id=a,host=127.0.0.1,port=%u,to=%u,server=on,wait=off", port, port + 20), &device);
    end(&server);
    char *text = g_strdup_printf("socket,id=a,host=127.0.0.1,port=%u,server=on,wait=off", port);
    refused(text, "Address already in use");
    g_free(text);
    close(taken);
}

static void test_passed_sockets(void)
{
    struct front front;
    uint16_t port = 0;
    int listening = tcp_socket(&port, true);
    attach(&front, madef("socket,id=a,fd=%d,server=on,wait=off", listening), &device);
    assert_filename("a", "disconnected:tcp:127.0.0.1:*,server=on");
    int fd = tcp_socket(&port, false);
    send_all(fd, "x", 1);
    GETS(&front, "x");
    end(&front);
    expect_end(fd);
    int pair[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    attach(&front, madef("socket,id=a,fd=%d", pair[0]), &device);
    send_all(pair[1], "y", 1);
    GETS(&front, "y");
    assert_filename("a", "unix:");
    end(&front);
    expect_end(pair[1]);
}

static void test_telnet(void)
{
    struct front front;
    uint16_t port = 0;
    close(tcp_socket(&port, true));
    attach(&front, madef("socket,id=a,host=127.0.0.1,port=%u,server=on,wait=off,telnet=on", port), &device);
    assert_filename("a", "disconnected:telnet:127.0.0.1:*,server=on");
    int fd = tcp_socket(&port, false);
    expect_bytes(fd, "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00", 12);
    send_all(fd,
             "a\xff\xfd\x01"
             "b\xff",
             6); /* cut in the middle of a command */
    GETS(&front, "ab");
    send_all(fd,
             "\xff"
             "c\xff\xfa\x18\x00vt\xff\xff\xff\xf0"
             "d\xff\xf3"
             "e",
             16);
    GETS(&front, "ab\xff"
                 "cde");
    HEARS(&front, "OB");
    say(&front, "x\xffy");
    expect(fd, "x\xff\xffy");
    close(fd);
    HEARS(&front, "OBC");
    fd = tcp_socket(&port, false); /* and from the beginning */
    expect_bytes(fd, "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00", 12);
    end(&front);
    expect_end(fd);
}

static void test_udp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t len = sizeof(at);
    char bytes[5000];
    struct front front;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&at, &len), ==, 0);
    attach(&front, madef("udp,id=a,host=127.0.0.1,port=%u,localaddr=127.0.0.1", ntohs(at.sin_port)), &device);
    assert_filename("a", "udp");
    HEARS(&front, "O");
    say(&front, "hello");
    len = sizeof(from);
    g_assert_cmpint(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len), ==, 5);
    g_assert_cmpint(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, len), ==, 6);
    GETS(&front, "answer");
    g_string_truncate(front.got, 0);
    memset(bytes, 'x', sizeof(bytes)); /* as long as the buffer: whole */
    g_assert_cmpint(sendto(fd, bytes, IN_LIMIT, 0, (struct sockaddr *)&from, len), ==, IN_LIMIT);
    EVENTUALLY(front.got->len == IN_LIMIT);
    g_assert_cmpint(sendto(fd, bytes, 0, 0, (struct sockaddr *)&from, len), ==, 0); /* an empty one is no end */
    g_assert_cmpint(sendto(fd, "z", 1, 0, (struct sockaddr *)&from, len), ==, 1);
    EVENTUALLY(front.got->len == IN_LIMIT + 1);
    machine_lock();
    front.room = 0; /* one behind another that is not taken yet: not cut off */
    machine_unlock();
    g_assert_cmpint(sendto(fd, "z", 1, 0, (struct sockaddr *)&from, len), ==, 1);
    EVENTUALLY(((struct host_chardev *)front.chardev)->in->len == 1);
    g_assert_cmpint(sendto(fd, bytes, IN_LIMIT, 0, (struct sockaddr *)&from, len), ==, IN_LIMIT);
    g_usleep(20000);
    machine_lock();
    front.room = SIZE_MAX;
    front.chardev->ops->room_changed(front.chardev);
    machine_unlock();
    EVENTUALLY(front.got->len == 2 * IN_LIMIT + 2);
    close(fd); /* nobody is there: neither is that an end */
    for (unsigned i = 0; i < 100; i++) {
        say(&front, "into the void");
        g_usleep(100);
    }
    HEARS(&front, "O");
    end(&front);
}

static void test_reconnect(void)
{
    struct front front;
    uint16_t port = 0;
    close(tcp_socket(&port, true));
    attach(&front, madef("socket,id=a,host=127.0.0.1,port=%u,reconnect=1", port), &device);
    assert_filename("a", "disconnected:tcp:127.0.0.1:*");
    g_usleep(200000);
    for (unsigned round = 0; round < 2; round++) {
        int listening = tcp_socket(&port, true);
        int fd = accept_within(listening);
        HEARS(&front, round ? "OCO" : "O");
        send_all(fd, "hello", 5);
        GETS(&front, round ? "hellohello" : "hello");
        close(fd);
        close(listening);
        HEARS(&front, round ? "OCOC" : "OC");
    }
    end(&front);
    /* Closed while an order is under way. */
    attach(&front, madef("socket,id=a,path=%s,reconnect=1", in_folder("nobody")), &device);
    end(&front);
}

static gpointer connect_later(gpointer opaque)
{
    g_usleep(200000);
    return GINT_TO_POINTER(unix_connect(opaque));
}

static void test_wait(void)
{
    struct front front;
    const char *path = in_folder("wait");
    GThread *thread = g_thread_new("client", connect_later, (gpointer)path);
    int64_t before = g_get_monotonic_time();
    attach(&front, madef("socket,id=a,path=%s,server=on", path), &device);
    g_assert_cmpint(g_get_monotonic_time() - before, >, 100000);
    g_assert_cmpstr(front.events, ==, "O");
    int fd = GPOINTER_TO_INT(g_thread_join(thread));
    send_all(fd, "x", 1);
    GETS(&front, "x");
    close(fd);
    end(&front);
}

static void test_descriptors(void)
{
    struct front front;
    const char *path = in_folder("fds");
    int got, pair[2];
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &control);
    int fd = unix_connect(path);
    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    for (unsigned i = 0; i < 20; i++) { /* more than anybody needs */
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int))];
        } buffer = {0};
        struct iovec part = {(void *)"x", 1};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = buffer.room, .msg_controllen = sizeof(buffer.room)};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pair[1], sizeof(int));
        g_assert_cmpint(sendmsg(fd, &message, 0), ==, 1);
    }
    EVENTUALLY(front.got->len == 20);
    machine_lock();
    unsigned count = 0;
    for (; chardev_take_fd(front.chardev, &got); count++) {
        g_assert_cmpint(write(got, "y", 1), ==, 1);
        close(got);
    }
    machine_unlock();
    g_assert_cmpuint(count, ==, 16);
    expect(pair[0], "yyyyyyyyyyyyyyyy");
    close(pair[1]);
    expect_end(pair[0]); /* those that were too many are closed */
    close(fd);
    end(&front);
}

/* --- Peers --- */

static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = g_malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return bytes;
}

/* A device never waits for one that does not read; what is kept is bounded, and is the newest. */
static void test_peer_that_stalls(void)
{
    struct front front;
    const char *path = in_folder("stall");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    int fd = unix_connect(path);
    HEARS(&front, "O");
    struct stream *stream = (struct stream *)front.chardev;
    uint8_t *bytes = pattern(8 << 20);
    for (size_t at = 0; at < 8u << 20; at += 1000) {
        machine_lock();
        size_t len = MIN(1000, (8u << 20) - at);
        g_assert_cmpuint(front.chardev->ops->write(front.chardev, bytes + at, len), ==, len);
        g_assert_cmpuint(stream->out.bytes->len, <=, OUT_LIMIT);
        machine_unlock();
    }
    machine_lock();
    g_assert_cmpuint(front.chardev->ops->write(front.chardev, bytes, 8 << 20), ==, 8 << 20); /* at once */
    g_assert_cmpuint(stream->out.bytes->len, <=, OUT_LIMIT);
    g_assert_cmpuint(front.chardev->ops->write(front.chardev, (const uint8_t *)"the end", 7), ==, 7);
    machine_unlock();
    size_t got = 0;
    char tail[8] = "";
    while (strncmp(tail, "the end", 7) != 0) {
        char byte;
        g_assert_cmpint(read(fd, &byte, 1), ==, 1);
        memmove(tail, tail + 1, 6);
        tail[6] = byte;
        got++;
    }
    g_assert_cmpuint(got, <, 4 << 20);
    g_free(bytes);
    close(fd);
    end(&front);
}

static void test_peer_that_floods(void)
{
    struct front front;
    const char *path = in_folder("flood");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    front.room = 0;
    int fd = unix_connect(path);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    uint8_t *bytes = pattern(1 << 20);
    size_t sent = 0;
    for (unsigned tries = 0; tries < 200; tries++) {
        ssize_t part = send(fd, bytes + sent, (1 << 20) - sent, MSG_NOSIGNAL);
        if (part > 0)
            sent += (size_t)part;
        else
            g_usleep(1000);
    }
    g_assert_cmpuint(sent, <, 1 << 20); /* the sender waits, we do not */
    g_assert_cmpuint(((struct host_chardev *)front.chardev)->in->len, ==, IN_LIMIT);
    machine_lock();
    front.room = 16; /* a FIFO */
    front.chardev->ops->room_changed(front.chardev);
    machine_unlock();
    EVENTUALLY(front.got->len == sent); /* with room for ever */
    g_assert_cmpmem(front.got->str, front.got->len, bytes, sent);
    /* Gone in the middle: what is there is still heard. */
    machine_lock();
    front.room = 0;
    machine_unlock();
    send_all(fd, "last words", 10);
    close(fd);
    g_usleep(20000);
    machine_lock();
    front.room = 100;
    front.chardev->ops->room_changed(front.chardev);
    machine_unlock();
    EVENTUALLY(g_str_has_suffix(front.got->str, "last words") || front.got->len == sent + 10);
    HEARS(&front, "OC");
    g_free(bytes);
    end(&front);
}

static void test_peer_that_vanishes(void)
{
    struct front front;
    const char *path = in_folder("vanish");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    uint8_t *bytes = pattern(50000);
    for (unsigned round = 0; round < 200; round++) {
        int fd = unix_connect(path);
        const struct linger now = {1, 0};
        send_all(fd, "x", 1);
        machine_lock();
        front.chardev->ops->write(front.chardev, bytes, 50000);
        machine_unlock();
        if (round % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        if (round % 3)
            g_usleep(200);
        close(fd);
    }
    EVENTUALLY(front.got->len == 200);
    int fd = unix_connect(path); /* and it is all there still */
    EVENTUALLY(front.got->len == 200 && ((struct host_chardev *)front.chardev)->is_open);
    send_all(fd, "y", 1);
    EVENTUALLY(front.got->len == 201);
    close(fd);
    g_free(bytes);
    end(&front);
}

/* A protocol loses nothing: it waits, and is told when there is room. */
static void test_control_loses_nothing(void)
{
    struct front front;
    const char *path = in_folder("control");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &control);
    int fd = unix_connect(path);
    HEARS(&front, "O");
    uint8_t *bytes = pattern(4 << 20);
    machine_lock();
    front.rest = bytes;
    front.rest_len = 4 << 20;
    write_more(&front);
    g_assert_cmpuint(front.rest_len, >, 3 << 20);
    machine_unlock();
    expect_bytes(fd, bytes, 4 << 20);
    g_assert_cmpuint(front.writables, >, 0);
    /* One that has no more to say still gets the answer. */
    send_all(fd, "question", 8);
    shutdown(fd, SHUT_WR);
    GETS(&front, "question");
    g_usleep(50000);
    say(&front, "answer");
    expect(fd, "answer");
    expect_end(fd);
    HEARS(&front, "OC");
    g_free(bytes);
    end(&front);
}

/* What was written goes out after closing. */
static void test_close_lingers(void)
{
    struct front front;
    const char *path = in_folder("linger");
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off", path), &control);
    int fd = unix_connect(path), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    HEARS(&front, "O");
    uint8_t *bytes = pattern(1 << 20);
    size_t taken;
    machine_lock();
    taken = front.chardev->ops->write(front.chardev, bytes, 1 << 20);
    machine_unlock();
    g_usleep(50000);
    machine_lock();
    taken += front.chardev->ops->write(front.chardev, bytes + taken, (1 << 20) - taken);
    machine_unlock();
    end(&front);
    g_assert_null(chardev_find("a"));
    expect_bytes(fd, bytes, taken);
    expect_end(fd);
    g_free(bytes);
}

/* --- An acceptor --- */

static unsigned accepted_count;
static GPtrArray *sessions;

static void session_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    struct front *session = opaque;
    session->chardev->ops->write(session->chardev, bytes, len);
}

static void session_event(void *opaque, enum chardev_event event)
{
    struct front *session = opaque;
    if (event != CHARDEV_CLOSED)
        return;
    chardev_close(session->chardev);
    g_ptr_array_remove_fast(sessions, session);
    g_free(session);
}

static const struct chardev_front session_front = {front_room, session_receive, front_writable, session_event, true};

static void session_new(void *opaque, struct chardev *client)
{
    struct front *session = g_new0(struct front, 1);
    g_assert_true(opaque == &accepted_count && machine_is_locked());
    accepted_count++;
    session->room = SIZE_MAX;
    session->chardev = client;
    g_ptr_array_add(sessions, session);
    g_assert_true(chardev_attach(client, &session_front, session));
}

static void test_acceptor(void)
{
    enum { CLIENTS = 200, MORE = 300 };
    const char *path = in_folder("many");
    int fds[MORE];
    sessions = g_ptr_array_new();
    struct chardev *chardev = madef("socket,id=a,path=%s,server=on,wait=off", path), *null = made("null,id=n");
    fds[0] = unix_connect(path); /* there before the acceptor is, with what it has said */
    send_all(fds[0], "early", 5);
    EVENTUALLY(((struct host_chardev *)chardev)->in->len == 5);
    g_assert_false(chardev_set_acceptor(null, session_new, &accepted_count));
    chardev_close(null);
    g_assert_true(chardev_set_acceptor(chardev, session_new, &accepted_count));
    expect(fds[0], "early");
    GError *error = NULL;
    g_assert_false(chardev_remove("a", &error)); /* it is in use */
    g_assert_cmpstr(error->message, ==, "Chardev 'a' is busy");
    g_clear_error(&error);
    g_assert_false(chardev_attach(chardev, &session_front, sessions));
    g_assert_false(chardev_set_acceptor(chardev, session_new, sessions));
    for (unsigned i = 1; i < CLIENTS; i++)
        fds[i] = unix_connect(path);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            char text[32];
            g_snprintf(text, sizeof(text), "client %u round %u", i, round);
            send_all(fds[i], text, strlen(text));
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
            char text[32];
            g_snprintf(text, sizeof(text), "client %u round %u", i, round);
            expect(fds[i], text);
        }
    }
    EVENTUALLY(accepted_count == CLIENTS && sessions->len == CLIENTS);
    /* No more than so many; the rest waits until one goes. */
    for (unsigned i = CLIENTS; i < MORE; i++)
        fds[i] = unix_connect(path);
    EVENTUALLY(sessions->len == CHARDEV_CLIENTS_MAX);
    send_all(fds[MORE - 1], "x", 1);
    g_assert_true(is_quiet(fds[MORE - 1], 50));
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fds[i]);
    expect(fds[MORE - 1], "x");
    EVENTUALLY(accepted_count == MORE && sessions->len == MORE - CLIENTS);
    chardev_close(chardev); /* those that are there stay */
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    send_all(fds[MORE - 1], "y", 1);
    expect(fds[MORE - 1], "y");
    for (unsigned i = CLIENTS; i < MORE; i++)
        close(fds[i]);
    EVENTUALLY(sessions->len == 0);
    g_ptr_array_unref(sessions);
}

/* --- Several fronts --- */

static unsigned quits, commits;

static void count_up(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_mux(void)
{
    struct front monitor, serial, extra[2];
    GError *error = NULL;
    const char *path = in_folder("mux");
    struct chardev *chardev =
        madef("socket,id=a,path=%s,server=on,wait=off,mux=on,logfile=%s", path, in_folder("log3"));
    assert_filename("a", "mux");
    assert_filename("a-base", "disconnected:unix:*");
    g_assert_true(chardev->is_shared);
    chardev_set_quit(count_up, &quits);
    chardev_set_commit(count_up, &commits);
    attach(&monitor, chardev, &control);
    g_assert_cmpstr(monitor.events, ==, "f");
    attach(&serial, chardev, &device); /* a part of the machine comes first */
    g_assert_cmpstr(monitor.events, ==, "fu");
    g_assert_false(chardev_remove("a", &error));
    g_clear_error(&error);
    int fd = unix_connect(path);
    HEARS(&serial, "fO");
    HEARS(&monitor, "fuO");
    send_all(fd, "to serial\1cto monitor\1\1x", 24);
    GETS(&serial, "to serial");
    GETS(&monitor, "to monitor\1x");
    HEARS(&serial, "fOu");
    send_all(fd, "\1b\1c\1b", 6);
    HEARS(&monitor, "fuOfBu");
    HEARS(&serial, "fOufB");
    send_all(fd, "\1x\1s", 4);
    EVENTUALLY(quits == 1 && commits == 1);
    expect(fd, "\r\nringer: ended by Ctrl-A x\r\n");
    say(&monitor, "(m) ");
    say(&serial, "s\n");
    expect(fd, "(m) s\n");
    send_all(fd, "\1t", 2);
    g_usleep(20000);
    say(&serial, "a\nb");
    say(&serial, "c\n");
    expect(fd, "[00:00:00.000] a\n[00:00:00.");
    char rest[8] = "";
    g_assert_cmpint(recv(fd, rest, 8, MSG_WAITALL), ==, 8);
    g_assert_cmpmem(rest + 3, 5, "] bc\n", 5);
    send_all(fd, "\1t\1h", 4);
    expect(fd, "\r\nCtrl-A h  this help\r\n");
    /* Four at most; one that only writes is never typed to. */
    static const struct chardev_front mute;
    attach(&extra[0], chardev, &mute);
    attach(&extra[1], chardev, &device);
    machine_lock();
    g_assert_false(chardev_attach(chardev, &device, &fd));
    machine_unlock();
    detach(&extra[1]);
    send_all(fd, "M\1cS\1cM", 7); /* the focus of the one that went is the next one's */
    EVENTUALLY(g_str_has_suffix(monitor.got->str, "xMM"));
    GETS(&serial, "to serialS");
    detach(&extra[0]);
    close(fd);
    EVENTUALLY(g_str_has_suffix(serial.events, "C"));
    detach(&serial);
    detach(&monitor);
    g_assert_true(chardev_remove("a", &error));
    g_assert_null(chardev_find("a-base"));
    char *log = file_text(in_folder("log3"));
    g_assert_nonnull(strstr(log, "(m) s\n["));
    g_free(log);
}

static void test_escape_key(void)
{
    struct front front;
    const char *path = in_folder("echr");
    chardev_set_escape(0x14);
    attach(&front, madef("socket,id=a,path=%s,server=on,wait=off,mux=on", path), &device);
    int fd = unix_connect(path);
    send_all(fd, "\1x\x14\x14\x14h", 6);
    GETS(&front, "\1x\x14");
    expect(fd, "\r\nCtrl-T h  this help\r\n");
    chardev_set_escape(1);
    close(fd);
    end(&front);
}

/* --- A machine that stands --- */

static void test_standing(void)
{
    struct front serial, monitor;
    const char *path = in_folder("stands"), *other = in_folder("runs");
    attach(&serial, madef("socket,id=a,path=%s,server=on,wait=off,telnet=on", path), &device);
    attach(&monitor, madef("socket,id=b,path=%s,server=on,wait=off", other), &control);
    machine_lock();
    vclock_stop();
    machine_unlock();
    int fd = unix_connect(path), control_fd = unix_connect(other);
    send_all(fd, "typed\xff\xf3", 7);
    send_all(control_fd, "cont\n", 5);
    GETS(&monitor, "cont\n");
    HEARS(&monitor, "O");
    EVENTUALLY(((struct host_chardev *)serial.chardev)->in->len == 5);
    GETS(&serial, "");
    HEARS(&serial, "");
    machine_lock();
    vclock_start();
    chardev_resume();
    g_assert_cmpstr(serial.got->str, ==, "typed");
    g_assert_cmpstr(serial.events, ==, "OB");
    machine_unlock();
    close(fd);
    close(control_fd);
    end(&serial);
    end(&monitor);
    /* The same by way of a mux. */
    struct chardev *mux = madef("socket,id=a,path=%s,server=on,wait=off,mux=on", path);
    attach(&serial, mux, &device);
    attach(&monitor, mux, &control);
    fd = unix_connect(path);
    HEARS(&monitor, "O");
    machine_lock();
    vclock_stop();
    machine_unlock();
    send_all(fd, "typed\1cinfo", 11);
    GETS(&monitor, "info");
    GETS(&serial, "");
    machine_lock();
    vclock_start();
    chardev_resume();
    machine_unlock();
    send_all(fd, "\1c", 2);
    GETS(&serial, "typed");
    close(fd);
    detach(&monitor);
    end(&serial);
}

/* --- Passed files --- */

static unsigned fdset_count;

static void fdset_look(void *opaque, int64_t set, int fd, const char *description)
{
    fdset_count++;
    g_assert_cmpint(set, ==, 5);
    g_assert_cmpstr(description, ==, fdset_count == 1 ? "r" : "w");
}

static void test_fdset(void)
{
    GError *error = NULL;
    struct front front;
    const char *path = in_folder("passed");
    g_assert_true(g_file_set_contents(path, "old ", 4, NULL));
    int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY | O_APPEND);
    g_assert_true(fdset_add_inherited(5, reads, "r", &error));
    g_assert_true(fdset_add_inherited(5, writes, "w", &error));
    g_assert_false(fdset_add_inherited(5, writes, "w", &error)); /* it is ours now */
    g_assert_cmpstr(error->message, ==, "fd is not valid or already in use");
    g_clear_error(&error);
    fdset_each(fdset_look, NULL);
    g_assert_cmpuint(fdset_count, ==, 2);
    int fd = files_open("/dev/fdset/5", O_RDONLY, 0);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    close(fd);
    g_assert_cmpint(files_open("/dev/fdset/5", O_RDWR, 0), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(files_open("/dev/fdset/6", O_RDWR, 0), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
    g_assert_cmpint(files_open("/dev/fdset/x", O_RDWR, 0), ==, -1);
    attach(&front, made("file,id=a,path=/dev/fdset/5"), &device);
    g_assert_true(fdset_remove(5, writes, &error)); /* what is open stays open */
    say(&front, "new");
    EVENTUALLY(file_is(path, "old new"));
    end(&front);
    g_assert_false(fdset_remove(5, writes, &error));
    g_assert_true(g_pattern_match_simple("File descriptor named 'fdset-id:5, fd:*' not found", error->message));
    g_clear_error(&error);
    g_assert_true(fdset_remove(5, FDSET_ALL, &error));
    g_assert_false(fdset_remove(5, FDSET_ALL, &error));
    g_assert_cmpstr(error->message, ==, "File descriptor named 'fdset-id:5' not found");
    g_clear_error(&error);
    g_assert_cmpint(fdset_add(FDSET_NEW, dup(0), NULL, &error), ==, 0);
    g_assert_cmpint(fdset_add(FDSET_NEW, dup(0), NULL, &error), ==, 1);
    g_assert_true(fdset_remove(0, FDSET_ALL, &error) && fdset_remove(1, FDSET_ALL, &error));
}

/* --- While the machine runs: sockets come from the dialer --- */

static void test_dialer(void)
{
    struct front server, client;
    uint16_t port = 0;
    chardev_seal();
    close(tcp_socket(&port, true));
    attach(&server, madef("socket,id=a,host=localhost,port=%u,server=on", port), &device); /* wait=on waits no more */
    attach(&client, madef("socket,id=b,host=localhost,port=%u,ipv4=on", port), &device);
    say(&client, "hello");
    GETS(&server, "hello");
    end(&client);
    end(&server);
    const char *path = in_folder("dialed");
    attach(&server, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    attach(&client, madef("socket,id=b,path=%s", path), &device);
    say(&server, "hello");
    GETS(&client, "hello");
    end(&client);
    end(&server);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    refused("socket,id=a,path=/no/where", "Failed to connect to '/no/where': No such file or directory");
    refused("socket,id=a,path=/no/where,server=on", "Failed to bind socket to /no/where");
    refused("socket,id=a,host=no-such-host.invalid,port=1", "");
    /* A name server that does not answer, an address that is nowhere: nobody waits for long, others not at all. */
    int64_t before = g_get_monotonic_time();
    attach(&client, made("socket,id=b,host=192.0.2.1,port=9,reconnect=1"), &device);
    attach(&server, madef("socket,id=a,path=%s,server=on,wait=off", path), &device);
    g_assert_cmpint(g_get_monotonic_time() - before, <, G_USEC_PER_SEC);
    end(&client);
    end(&server);
}

static void end_now(struct front *front)
{
    end(front);
    front->chardev = NULL;
}

/* Everything at once, closed in any order; sanitizers look on. */
static void test_storm(void)
{
    static const char *const names[] = {"storm0", "storm1", "storm2", "storm3", "storm4", "storm5"};
    GRand *rand = g_rand_new_with_seed(1);
    for (unsigned round = 0; round < 60; round++) {
        struct front fronts[6];
        int fds[6];
        for (unsigned i = 0; i < 6; i++) {
            attach(&fronts[i],
                   madef("socket,id=%s,path=%s,server=on,wait=off,telnet=%s,mux=%s", names[i], in_folder(names[i]),
                         i & 1 ? "on" : "off", i & 2 ? "on" : "off"),
                   i & 4 ? &control : &device);
            fds[i] = unix_connect(in_folder(names[i]));
        }
        for (unsigned n = 0; n < 40; n++) {
            unsigned i = (unsigned)g_rand_int_range(rand, 0, 6);
            char bytes[600];
            for (unsigned b = 0; b < sizeof(bytes); b++)
                bytes[b] = (char)(g_rand_int_range(rand, 0, 5) ? g_rand_int(rand) : g_rand_boolean(rand) ? 255 : 1);
            switch (g_rand_int_range(rand, 0, 4)) {
            case 0:
                if (send(fds[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                    g_assert_true(errno == EAGAIN || errno == EPIPE);
                break;
            case 1:
                machine_lock();
                fronts[i].chardev->ops->write(fronts[i].chardev, (uint8_t *)bytes, sizeof(bytes));
                machine_unlock();
                break;
            case 2:
                machine_lock();
                fronts[i].room = (size_t)g_rand_int_range(rand, 0, 20);
                fronts[i].chardev->ops->room_changed(fronts[i].chardev);
                machine_unlock();
                break;
            case 3:
                close(fds[i]);
                fds[i] = unix_connect(in_folder(names[i]));
                break;
            }
        }
        for (unsigned i = 0; i < 6; i++) {
            if (g_rand_boolean(rand))
                close(fds[i]);
            else
                end_now(&fronts[i]);
        }
        for (unsigned i = 0; i < 6; i++) {
            if (fronts[i].chardev)
                end(&fronts[i]);
            else
                close(fds[i]);
        }
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("ringer-chardev-XXXXXX", &error);
    g_assert_no_error(error);
    g_assert_true(chardev_dialer_start(NULL, true, &error));
    machine_lock();
    vclock_start();
    machine_unlock();
    g_assert_true(devthread_start(NULL));
#define ADD(name) g_test_add_func("/chardev/" #name, test_##name)
    ADD(short_forms);
    ADD(refused);
    ADD(busy);
    ADD(file_and_log);
    ADD(log_of_a_socket);
    ADD(pipe);
    ADD(pty);
    ADD(serial);
    ADD(ringbuf);
    ADD(msmouse);
    ADD(server);
    ADD(abstract);
    ADD(tcp);
    ADD(passed_sockets);
    ADD(telnet);
    ADD(udp);
    ADD(reconnect);
    ADD(wait);
    ADD(descriptors);
    ADD(peer_that_stalls);
    ADD(peer_that_floods);
    ADD(peer_that_vanishes);
    ADD(control_loses_nothing);
    ADD(close_lingers);
    ADD(acceptor);
    ADD(mux);
    ADD(escape_key);
    ADD(standing);
    ADD(fdset);
    ADD(storm);
    ADD(dialer); /* last: from here on nothing else makes sockets */
    /* What nobody closes goes at the end. */
    madef("socket,id=left,path=%s,server=on,wait=off,mux=on", in_folder("left"));
    g_assert_true(g_file_test(in_folder("left"), G_FILE_TEST_EXISTS));
    int status = g_test_run();
    devthread_stop();
    chardev_close_all();
    g_assert_false(g_file_test(in_folder("left"), G_FILE_TEST_EXISTS));
    char *command[] = {(char *)"rm", (char *)"-rf", folder, NULL};
    g_spawn_sync(NULL, command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free(folder);
    return status;
}
