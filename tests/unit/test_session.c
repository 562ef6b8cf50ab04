/* Control connections: order, bounds, who is cut off. */
#include <glib.h>
#include <string.h>

#include "fake_chardev.h"
#include "host/control/session.h"

static struct fake_chardev fake;
static struct session *session;
static GString *heard; /* ( opened, ) closed, letters received */
static const char *answer;
static bool frees;

static void opened(void *opaque)
{
    g_string_append_c(heard, '(');
}

static void received(void *opaque, const uint8_t *bytes, size_t len)
{
    g_assert_false(machine_is_locked());
    g_string_append_len(heard, (const char *)bytes, (gssize)len);
    if (answer)
        session_write(session, (const uint8_t *)answer, strlen(answer));
    if (frees)
        session_free(session);
}

static void closed(void *opaque)
{
    g_string_append_c(heard, ')');
}

static void focus(void *opaque, bool in)
{
    g_string_append_c(heard, in ? '>' : '<');
}

static const struct session_ops ops = {opened, received, closed, focus};

static void begin(void)
{
    fake_init(&fake);
    heard = g_string_new(NULL);
    answer = NULL;
    frees = false;
    session = session_new(&fake.base, &ops, NULL);
    g_assert_nonnull(session);
}

static void end(void)
{
    if (!frees) {
        session_free(session);
        g_assert_null(fake.base.front);
    }
    fake_main_loop();
    g_string_free(heard, TRUE);
    fake_clear(&fake);
}

static void check_heard(const char *want)
{
    fake_main_loop();
    g_assert_cmpstr(heard->str, ==, want);
    g_string_truncate(heard, 0);
}

static void test_order(void)
{
    begin();
    g_assert_true(fake.base.front->is_control);
    g_assert_false(session_write(session, (const uint8_t *)"x", 1)); /* nobody is there */
    fake_event(&fake, CHARDEV_OPENED);
    fake_feed(&fake, "ab", 2);
    g_assert_cmpstr(heard->str, ==, ""); /* not on this thread's stack */
    check_heard("(ab");
    g_assert_true(session_is_open(session));
    fake_event(&fake, CHARDEV_FOCUS_OUT);
    fake_feed(&fake, "c", 1);
    check_heard("<c");
    fake_event(&fake, CHARDEV_CLOSED);
    check_heard(")");
    g_assert_false(session_is_open(session));
    end();
}

/* The bytes of one connection and those of the next, all before the main thread looked. */
static void test_next_connection(void)
{
    begin();
    fake_event(&fake, CHARDEV_OPENED);
    fake_feed(&fake, "quit", 4);
    fake_event(&fake, CHARDEV_CLOSED);
    for (unsigned i = 0; i < 1000; i++) {
        fake_event(&fake, CHARDEV_OPENED);
        fake_event(&fake, CHARDEV_CLOSED);
    }
    fake_event(&fake, CHARDEV_OPENED);
    fake_feed(&fake, "next", 4);
    answer = "!";
    check_heard("(quit)(next");
    g_assert_cmpuint(fake.out->len, ==, 1); /* the answer to quit has nobody to go to */
    for (unsigned i = 0; i < 2; i++) {
        fake_event(&fake, CHARDEV_CLOSED);
        fake_event(&fake, CHARDEV_OPENED);
    }
    fake_event(&fake, CHARDEV_CLOSED);
    check_heard(")");
    end();
}

/* A back that tells of nobody: a pseudo-terminal. And a back that has bytes before anybody listens. */
static void test_untold(void)
{
    begin();
    fake_feed(&fake, "a", 1);
    check_heard("(a");
    g_assert_null(session_new(&fake.base, &ops, NULL));
    end();
    fake_init(&fake);
    fake_feed(&fake, "early", 5);
    heard = g_string_new(NULL);
    session = session_new(&fake.base, &ops, NULL);
    check_heard("(early");
    end();
}

static void test_input_bounded(void)
{
    begin();
    char block[1000];
    memset(block, 'z', sizeof(block));
    for (unsigned i = 0; i < 200; i++)
        fake_feed(&fake, block, sizeof(block));
    g_assert_cmpuint(fake.in->len, >=, 200000 - 65536); /* it is the chardev that keeps it */
    fake_main_loop();
    g_assert_cmpuint(heard->len, ==, 200001);
    g_assert_cmpuint(fake.in->len, ==, 0);
    end();
}

static void test_reader_slow(void)
{
    begin();
    fake_event(&fake, CHARDEV_OPENED);
    fake_main_loop();
    fake.capacity = 10;
    for (unsigned i = 0; i < 10; i++)
        g_assert_true(session_write(session, (const uint8_t *)"0123456", 7));
    GString *all = g_string_new(NULL);
    for (unsigned i = 0; i < 20; i++) {
        g_string_append_len(all, (const char *)fake.out->data, fake.out->len);
        fake_read(&fake);
    }
    g_assert_cmpuint(all->len, ==, 70);
    for (unsigned i = 0; i < all->len; i++)
        g_assert_cmpint(all->str[i], ==, '0' + (int)(i % 7));
    g_string_free(all, TRUE);
    end();
}

/* Who sends many questions at once and reads later gets all answers: the next one waits until he has read some. */
static void test_reader_late(void)
{
    begin();
    fake_event(&fake, CHARDEV_OPENED);
    check_heard("(");
    fake.capacity = 0;
    char *long_answer = g_strnfill(200000, 'a');
    answer = long_answer;
    GString *questions = g_string_new(NULL);
    for (unsigned i = 0; i < 60; i++)
        g_string_append(questions, "q\n");
    fake_feed(&fake, questions->str, questions->len);
    fake_event(&fake, CHARDEV_CLOSED); /* that, too, comes behind them */
    fake_event(&fake, CHARDEV_OPENED);
    answer = NULL;
    fake_main_loop();
    g_string_append(questions, ")(");
    check_heard(questions->str);
    g_string_truncate(heard, 0);
    /* The same from one who stays. */
    answer = long_answer;
    g_string_truncate(questions, 0);
    for (unsigned i = 0; i < 60; i++)
        g_string_append(questions, "q\n");
    fake_feed(&fake, questions->str, questions->len);
    fake_main_loop();
    check_heard("q\n"); /* one, whose answer is more than enough */
    fake.capacity = 200000;
    for (unsigned i = 1; i < 60; i++) {
        fake_read(&fake);
        g_assert_cmpuint(fake.out->len, ==, 200000); /* the answer before, whole */
        check_heard("q\n");
    }
    answer = NULL;
    g_string_free(questions, TRUE);
    g_free(long_answer);
    end();
}

static void test_reader_never(void)
{
    begin();
    fake_event(&fake, CHARDEV_OPENED);
    check_heard("(");
    fake.capacity = 0;
    session_set_limit(session, 100);
    uint8_t block[60] = {0};
    g_assert_true(session_write(session, block, 60));
    g_assert_false(session_write(session, block, 60));
    g_assert_cmpstr(heard->str, ==, ""); /* closed() never comes from within session_write() */
    fake_feed(&fake, "abc", 3);
    check_heard(")");
    fake_feed(&fake, "abc", 3);
    check_heard("");
    fake_feed(&fake, "lost", 4);
    fake.capacity = 1000; /* he wakes up */
    fake_read(&fake);
    g_assert_cmpuint(fake.out->len, ==, 60); /* a whole answer, no part of one */
    fake_feed(&fake, "d", 1);
    check_heard("(d");
    g_assert_true(session_write(session, block, 60));
    /* And again, but he goes away. */
    fake.capacity = 0;
    while (session_write(session, block, 60))
        continue;
    fake_event(&fake, CHARDEV_CLOSED);
    check_heard(")");
    fake_event(&fake, CHARDEV_OPENED);
    check_heard("(");
    g_assert_true(session_write(session, block, 60)); /* nothing of the old is queued */
    end();
}

static void test_free_within(void)
{
    begin();
    frees = true;
    fake_event(&fake, CHARDEV_OPENED);
    fake_feed(&fake, "a", 1);
    fake_event(&fake, CHARDEV_CLOSED);
    check_heard("(a"); /* not ')' */
    g_assert_null(fake.base.front);
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/order", test_order);
    g_test_add_func("/session/next_connection", test_next_connection);
    g_test_add_func("/session/untold", test_untold);
    g_test_add_func("/session/input_bounded", test_input_bounded);
    g_test_add_func("/session/reader_slow", test_reader_slow);
    g_test_add_func("/session/reader_late", test_reader_late);
    g_test_add_func("/session/reader_never", test_reader_never);
    g_test_add_func("/session/free_within", test_free_within);
    return g_test_run();
}
