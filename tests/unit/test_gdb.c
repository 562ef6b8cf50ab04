/* The debugger's packets, one test each, against a machine that runs nothing. Randomly made ones at the end. */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fake_chardev.h"
#include "fake_target.h"
#include "host/control/gdb.h"

static struct fake_chardev line;
static struct fake_target *machine;
static struct gdb_stub *stub;
static unsigned quits, resets;

static void hook_command(void *opaque, const char *command, GString *out)
{
    g_assert_false(machine_is_locked());
    if (g_str_equal(command, "long")) {
        for (unsigned i = 0; i < 5000; i++)
            g_string_append(out, "0123456789");
    } else if (g_str_equal(command, "cont")) {
        machine->running = true;
        machine->client.running(machine->client.opaque);
    } else if (g_str_equal(command, "free")) {
        gdb_stub_free(stub);
        stub = NULL;
    } else if (command[0]) {
        g_string_append_printf(out, "<%s>\n", command);
    }
}

static void hook_quit(void *opaque)
{
    quits++;
}

static void hook_reset(void *opaque)
{
    resets++;
}

static const struct gdb_hooks hooks = {hook_command, hook_quit, hook_reset, NULL};

/* Something comes; what goes out is answer. */
static void raw(const char *bytes, size_t len)
{
    g_byte_array_set_size(line.out, 0);
    fake_feed(&line, bytes, len);
    fake_main_loop();
    g_byte_array_append(line.out, (const guint8 *)"", 1);
    g_byte_array_set_size(line.out, line.out->len - 1);
}

static const char *answer(void)
{
    return (const char *)line.out->data;
}

static void expect_raw(const char *bytes, const char *want)
{
    raw(bytes, strlen(bytes));
    g_assert_cmpstr(answer(), ==, want);
}

static GString *framed(const char *body, size_t len)
{
    GString *out = g_string_new("$");
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (uint8_t)body[i];
    g_string_append_len(out, body, (gssize)len);
    g_string_append_printf(out, "#%02x", sum);
    return out;
}

static void send_body(const char *body, size_t len)
{
    GString *packet = framed(body, len);
    raw(packet->str, packet->len);
    g_string_free(packet, TRUE);
}

static void expect(const char *body, const char *want)
{
    GString *packet = framed(want, strlen(want));
    send_body(body, strlen(body));
    g_assert_cmpstr(answer(), ==, packet->str);
    g_string_free(packet, TRUE);
}

/* No answer is due. */
static void expect_nothing(const char *body)
{
    send_body(body, strlen(body));
    g_assert_cmpuint(line.out->len, ==, 0);
}

/* It comes by itself. */
static void expect_news(const char *want)
{
    GString *packet = framed(want, strlen(want));
    g_byte_array_append(line.out, (const guint8 *)"", 1);
    g_assert_cmpstr(answer(), ==, packet->str);
    g_string_free(packet, TRUE);
    g_byte_array_set_size(line.out, 0);
}

static void check_log(const char *want)
{
    g_assert_cmpstr(machine->log->str, ==, want);
    g_string_truncate(machine->log, 0);
}

static void begin(void)
{
    fake_init(&line);
    machine = fake_target_new();
    quits = resets = 0;
    stub = gdb_stub_new(&line.base, &machine->target, &hooks, NULL);
    g_assert_nonnull(stub);
    fake_event(&line, CHARDEV_OPENED);
    fake_main_loop();
    check_log("a");
    g_assert_false(machine->running);
    expect_raw("+$QStartNoAckMode#b0", "+$OK#9a");
}

static void end(void)
{
    gdb_stub_free(stub);
    g_assert_null(line.base.front);
    g_assert_false(machine->attached);
    g_assert_true(machine->running || machine->held);
    fake_target_free(machine);
    fake_clear(&line);
}

/* --- Packets --- */

static void test_acks(void)
{
    begin();
    fake_event(&line, CHARDEV_CLOSED);
    fake_event(&line, CHARDEV_OPENED);
    fake_main_loop();
    expect_raw("$qC#b4", "+$QC01#f5");
    expect_raw("-", "$QC01#f5"); /* again */
    expect_raw("+", "");
    expect_raw("-", ""); /* it has had it */
    expect_raw("$qC#b5", "-");
    expect_raw("$qC#b4", "+$QC01#f5");
    expect_raw("$QStartNoAckMode#b0", "+$OK#9a");
    expect_raw("$qC#b4", "$QC01#f5");
    expect_raw("$qC#00", "");
    expect_raw("-", "");
    end();
}

static void test_split_and_junk(void)
{
    static const char *const pieces[] = {"ju$n", "k++\x7f$", "q", "C", "#", "b", "4$qC#b4tail"};
    begin();
    for (unsigned i = 0; i < 5; i++)
        expect_raw(pieces[i], "");
    expect_raw(pieces[5], "");
    raw(pieces[6], strlen(pieces[6]));
    g_assert_cmpstr(answer(), ==, "$QC01#f5$QC01#f5");
    expect_raw("$qThr$qC#b4", "$QC01#f5"); /* one that broke off */
    expect_raw("$qC#b$qC#b4", "$QC01#f5");
    expect_raw("$qC#zz", "");
    expect_nothing("qC}");   /* nothing to escape */
    expect_nothing("*!");    /* nothing to repeat */
    expect("}Qbad\x03", ""); /* "qbad", and an interrupt that is none */
    expect("}QC", "QC01");   /* "qC" */
    expect("m0* ,1", "00");  /* "m0000,1" */
    end();
}

static void test_too_long(void)
{
    begin();
    GString *body = g_string_new("m");
    while (body->len < 0x4000)
        g_string_append_c(body, '0');
    send_body(body->str, body->len);
    g_assert_cmpstr(answer(), ==, "$E22#a9"); /* long, and senseless */
    /* As long as may be, and a byte more. */
    for (unsigned i = 0; i < 2; i++) {
        g_string_printf(body, "X0,%x:", 0x3ff8 + i);
        while (body->len < 0x4000 + i)
            g_string_append_c(body, 'x');
        send_body(body->str, body->len);
        g_assert_cmpstr(answer(), ==, i ? "$E22#a9" : "$OK#9a");
    }
    while (body->len < 300000)
        g_string_append_c(body, '0');
    send_body(body->str, body->len);
    g_assert_cmpstr(answer(), ==, "$E22#a9");
    expect("qC", "QC01");
    g_string_free(body, TRUE);
    end();
}

static void test_unknown(void)
{
    static const char *const packets[] = {"bs",
                                          "bc",
                                          "vMustReplyEmpty",
                                          "",
                                          "qOffsets",
                                          "qSymbol::",
                                          "vRun;",
                                          "i",
                                          "A1",
                                          "qCRC:0,1",
                                          "vContx",
                                          "vFile:open:",
                                          "qXfer:auxv:read::0,10",
                                          "Z7,0,1",
                                          "kx"};
    begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(packets); i++)
        expect(packets[i], "");
    g_assert_cmpuint(quits, ==, 0);
    end();
}

static void test_supported(void)
{
    begin();
    expect("qSupported:swbreak+;xmlRegisters=i386",
           "PacketSize=4000;qXfer:features:read+;vContSupported+;QStartNoAckMode+;multiprocess+;swbreak+;hwbreak+");
    expect("!", "OK");
    expect("qAttached", "1");
    expect("qAttached:1", "1");
    end();
}

/* --- Threads --- */

static void test_threads(void)
{
    static const char *const good[] = {"Hg0",      "Hc-1", "Hg1", "Hgp1.1", "Hgp1.-1",
                                       "Hgp-1.-1", "Hgp1", "T1",  "Tp1.1",  "T01"};
    static const char *const bad[] = {"Hg2", "Hx1", "H", "Hg", "Hgp1.2", "Hgp2.1", "T", "T2", "T1x", "Tp", "Tp1."};
    begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++)
        expect(good[i], "OK");
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        expect(bad[i], "E22");
    expect("qC", "QC01");
    expect("qfThreadInfo", "m01");
    expect("qsThreadInfo", "l");
    expect("qThreadExtraInfo,1", "4350552330205b73746f707065645d"); /* CPU#0 [stopped] */
    expect("qThreadExtraInfo,5", "E22");
    send_body("qSupported:multiprocess+", 24);
    expect("qC", "QCp01.01");
    expect("qfThreadInfo", "mp01.01");
    expect("?", "T05thread:p01.01;");
    end();
}

/* --- Registers --- */

static void test_registers_plain(void)
{
    begin();
    for (unsigned i = 0; i < 8; i++)
        machine->cpu.gpr[i] = 0x01020300 + i;
    machine->cpu.seg[SEG_SS].access = ACC_P | ACC_DB;
    machine->cpu.fpu.ftw = 0x01; /* physical register 0 is in use: with TOP = 7 that is ST(1) */
    machine->cpu.fpu.fsw = 7 << 11;
    memcpy(machine->cpu.fpu.st[0] + 7, "\x80\xff\x3f", 3); /* 1.0, and not there */
    machine->cpu.fpu.mxcsr = 0x1f80;
    send_body("g", 1);
    /* 16 of 4, 8 of 10, 8 of 4, 8 of 16, 1 of 4: what gdb expects without a description. */
    g_assert_cmpuint(line.out->len, ==, 2 * (64 + 80 + 32 + 128 + 4) + 4);
    g_assert_true(g_str_has_prefix(answer(), "$000302010103020102030201"));
    g_assert_true(g_str_has_prefix(answer() + 1 + 2 * (64 + 80 + 32 + 128), "801f0000#"));
    expect("p3", "03030201");
    expect("p1a", "fdff0000"); /* ftag: zero, the others empty */
    expect("p29", "00000000");
    expect("p37", "04030201"); /* esp_offset */
    expect("p38", "E22");
    expect("p", "E22");
    expect("pfffffffffffffffff", "E22");
    expect("p100000000", "E22");
    expect("p3,", "E22");
    end();
}

static void test_registers_described(void)
{
    begin();
    send_body("qXfer:features:read:target.xml:0,3ffb", 37);
    send_body("g", 1);
    g_assert_cmpuint(line.out->len, ==, 2 * (308 + 9 * 4 + 6 * 4) + 4);
    end();
}

static void test_register_write(void)
{
    begin();
    machine->cpu.seg[SEG_DS] = (struct seg){.sel = 8, .base = 0x1234};
    expect("P0=78563412", "OK");
    g_assert_cmphex(machine->cpu.gpr[0], ==, 0x12345678);
    expect("Pc=08000000", "OK"); /* as it is: its descriptor is left alone */
    g_assert_cmphex(machine->cpu.seg[SEG_DS].base, ==, 0x1234);
    expect("Pc=09000000", "OK");
    g_assert_cmphex(machine->cpu.seg[SEG_DS].base, ==, 0x90);
    expect("Pc=00000100", "E22");
    expect("P10=0102030405060708090a", "OK");
    g_assert_cmphex(machine->cpu.fpu.st[0][9], ==, 0x0a);
    expect("P20=000102030405060708090a0b0c0d0e0f", "OK");
    g_assert_cmphex(machine->cpu.fpu.xmm[0][15], ==, 0x0f);
    expect("P2b=01000000", "OK");  /* k_gs_base: nowhere */
    expect("P2f=01000000", "E22"); /* the target does not want it */
    expect("P0=785634", "E22");
    expect("P0=7856341200", "E22");
    expect("P0=7856341x", "E22");
    expect("P0", "E22");
    expect("P99=00000000", "E22");
    end();
}

static GString *registers_now(void)
{
    send_body("g", 1);
    GString *all = g_string_new("G");
    g_string_append_len(all, answer() + 1, (gssize)line.out->len - 4);
    return all;
}

static void test_registers_write_all(void)
{
    begin();
    machine->cpu.cr0 = CR0_PE;
    machine->cpu.seg[SEG_CS] = (struct seg){.sel = 0x10, .base = 0x500};
    machine->cpu.seg[SEG_GS] = (struct seg){.sel = 0x18, .base = 0x700};
    machine->cpu.eip = 0x20;
    GString *all = registers_now();
    expect(all->str, "OK");
    g_assert_cmphex(machine->cpu.seg[SEG_CS].base, ==, 0x500);
    memcpy(all->str + 1, "11223344", 8);          /* eax */
    memcpy(all->str + 1 + 10 * 8, "20000000", 8); /* cs */
    expect(all->str, "OK");
    g_assert_cmphex(machine->cpu.gpr[0], ==, 0x44332211);
    g_assert_cmphex(machine->cpu.seg[SEG_CS].base, ==, 0x200);
    g_assert_cmphex(machine->cpu.eip, ==, 0x20); /* nobody has changed it */
    g_assert_cmphex(machine->cpu.seg[SEG_GS].base, ==, 0x700);
    memcpy(all->str + 1 + 8 * 8, "00030000", 8); /* eip, for the new cs */
    memcpy(all->str + 1 + 10 * 8, "30000000", 8);
    expect(all->str, "OK");
    g_assert_cmphex(machine->cpu.eip, ==, 0);
    expect("G55667788", "OK"); /* a part */
    g_assert_cmphex(machine->cpu.gpr[0], ==, 0x88776655);
    expect("G5566778899", "E22");
    expect("G", "E22");
    g_string_append(all, "00");
    expect(all->str, "E22");
    g_string_free(all, TRUE);
    end();
}

/* $pc and $sp are linear; the offsets have names of their own. */
static void test_registers_real_mode(void)
{
    begin();
    struct cpu *cpu = &machine->cpu;
    cpu->seg[SEG_CS] = (struct seg){.sel = 0x7b0, .base = 0x7b00, .access = ACC_P};
    cpu->seg[SEG_SS] = (struct seg){.sel = 0x1000, .base = 0x10000, .access = ACC_P};
    cpu->eip = 0x100;
    cpu->gpr[4] = 0xabcd1234;
    expect("p8", "007c0000");
    expect("p36", "00010000");
    expect("p4", "34120100");
    expect("p37", "3412cdab");
    expect("P8=027c0000", "OK");
    g_assert_cmphex(cpu->eip, ==, 0x102);
    g_assert_cmphex(cpu->seg[SEG_CS].sel, ==, 0x7b0);
    expect("P4=00000100", "OK");
    g_assert_cmphex(cpu->gpr[4], ==, 0xabcd0000);
    expect("P8=007a0000", "OK"); /* before this CS */
    g_assert_cmphex(cpu->seg[SEG_CS].sel, ==, 0);
    g_assert_cmphex(cpu->eip, ==, 0x7a00);
    expect("P8=55340f00", "OK");
    g_assert_cmphex(cpu->seg[SEG_CS].sel, ==, 0xf000);
    g_assert_cmphex(cpu->eip, ==, 0x3455);
    expect("P8=efff1000", "OK"); /* the last byte there is */
    g_assert_cmphex(cpu->seg[SEG_CS].sel, ==, 0xffff);
    g_assert_cmphex(cpu->eip, ==, 0xffff);
    expect("P8=f0ff1000", "E22");
    expect("p8", "efff1000");
    /* 16-bit protected mode: the segment stays, the stack's offset must fit. */
    cpu->cr0 = CR0_PE;
    cpu->seg[SEG_SS].base = 0x20000;
    expect("P4=00000300", "E22");
    expect("P4=ffff0200", "OK");
    g_assert_cmphex(cpu->gpr[4], ==, 0xabcdffff);
    cpu->seg[SEG_SS].access = ACC_P | ACC_DB;
    expect("P4=00000300", "OK");
    g_assert_cmphex(cpu->gpr[4], ==, 0x10000);
    end();
}

/* --- Descriptions --- */

static GString *description(const char *annex, unsigned piece)
{
    GString *all = g_string_new(NULL);
    for (char last = 'm'; last == 'm';) {
        char *packet = g_strdup_printf("qXfer:features:read:%s:%x,%x", annex, (unsigned)all->len, piece);
        send_body(packet, strlen(packet));
        g_free(packet);
        last = answer()[1];
        g_assert_true(last == 'm' || last == 'l');
        g_assert_cmpuint(line.out->len - 5, <=, piece + piece); /* escapes */
        for (size_t i = 2; answer()[i] != '#'; i++) {
            bool escaped = answer()[i] == '}';
            g_string_append_c(all, escaped ? answer()[i + 1] ^ 0x20 : answer()[i]);
            i += escaped;
        }
    }
    return all;
}

static void test_description(void)
{
    static const char *const annexes[] = {"i386-core.xml", "i386-sse.xml", "i386-system.xml", "i386-segments.xml"};
    static const unsigned ends[] = {32, 41, 50, 56};
    begin();
    for (unsigned i = 0, regs = 0; i < G_N_ELEMENTS(annexes); i++) {
        GString *whole = description(annexes[i], 0x3fff), *pieces = description(annexes[i], 7);
        g_assert_cmpstr(whole->str, ==, pieces->str);
        for (const char *at = whole->str; (at = strstr(at, "<reg ")) != NULL; at++, regs++) {
            unsigned number;
            const char *regnum = strstr(at, "regnum=\"");
            g_assert_cmpint(sscanf(regnum, "regnum=\"%u\"", &number), ==, 1);
            g_assert_cmpuint(number, ==, regs); /* in the order of g */
        }
        g_string_free(whole, TRUE);
        g_string_free(pieces, TRUE);
        g_assert_cmpuint(regs, ==, ends[i]);
    }
    GString *whole = description("target.xml", 0x3fff);
    char *packet = g_strdup_printf("qXfer:features:read:target.xml:%x,10", (unsigned)whole->len - 0x10);
    send_body(packet, strlen(packet));
    g_assert_cmpint(answer()[1], ==, 'l'); /* exactly to the end */
    g_free(packet);
    packet = g_strdup_printf("qXfer:features:read:target.xml:%x,10", (unsigned)whole->len);
    expect(packet, "l");
    g_free(packet);
    packet = g_strdup_printf("qXfer:features:read:target.xml:%x,10", (unsigned)whole->len + 1);
    expect(packet, "E22");
    g_free(packet);
    g_string_free(whole, TRUE);
    expect("qXfer:features:read:nope.xml:0,10", "E00");
    expect("qXfer:features:read:target.xml:0", "E22");
    expect("qXfer:features:read:target.xml:0,0", "E22");
    expect("qXfer:features:read::0,10", "E00");
    expect("qXfer:features:read:", "");
    expect("qXfer:features:write:target.xml:0:", "");
    end();
}

static bool described_as(const char *arch)
{
    GString *whole = description("target.xml", 0x3fff);
    char *want = g_strdup_printf("<architecture>%s</architecture>", arch);
    bool found = strstr(whole->str, want) != NULL;
    g_free(want);
    g_string_free(whole, TRUE);
    return found;
}

static void test_description_follows(void)
{
    begin();
    struct cpu *cpu = &machine->cpu;
    g_assert_true(described_as("i8086"));
    cpu->cr0 = CR0_PE; /* still 16-bit code */
    g_assert_true(described_as("i8086"));
    cpu->seg[SEG_CS].access = ACC_P | ACC_DB;
    g_assert_true(described_as("i386"));
    cpu->eflags = FL_VM;
    g_assert_true(described_as("i8086"));
    cpu->eflags = 0;
    g_assert_true(described_as("i386"));
    /* One that began in another mode is not mixed with this one's. */
    send_body("qXfer:features:read:target.xml:0,4", 34);
    cpu->cr0 = 0;
    GString *rest = g_string_new(NULL);
    send_body("qXfer:features:read:target.xml:4,3000", 37);
    g_string_append(rest, answer());
    g_assert_nonnull(strstr(rest->str, "i386</arch"));
    g_string_free(rest, TRUE);
    end();
}

/* --- Memory --- */

static void test_memory(void)
{
    begin();
    memcpy(machine->memory + 0xffe, "abcd", 4);
    expect("mffe,4", "61626364");
    expect("m2fffe,8", "0000"); /* as much as there is */
    expect("m30000,1", "E14");
    expect("mffffffff,1", "E14");
    expect("m100000000,1", "E14");
    expect("mffffffffffffffff,8", "E14");
    expect("m10000000000000000,8", "E22");
    expect("m0,0", "E22");
    expect("m0", "E22");
    expect("m,1", "E22");
    send_body("m0,ffffffff", 11);
    g_assert_cmpuint(line.out->len, ==, 0x4000 + 4);
    expect("M1000,3:313233", "OK");
    g_assert_cmpint(memcmp(machine->memory + 0xffe, "ab123", 5), ==, 0);
    expect("M2ffff,2:4142", "E14");
    expect("M1000,3:3132", "E22");
    expect("M1000,1:3", "E22");
    expect("M1000,1:zz", "E22");
    expect("M1000,0:", "OK");
    expect("X0,0:", "OK");
    expect("X1ffe,4:a}\x03\x03z", "OK");
    g_assert_cmpint(memcmp(machine->memory + 0x1ffe, "a#\x03z", 4), ==, 0);
    expect("X1000,2:a", "E22");
    end();
}

static void test_physical(void)
{
    begin();
    machine->memory[0x1234] = 0x99;
    expect("qqemu.PhyMemMode", "0");
    expect("Qqemu.PhyMemMode:1", "OK");
    expect("qqemu.PhyMemMode", "1");
    expect("m1134,1", "99");
    expect("m3feff,1", "00");
    expect("M1134,1:77", "OK");
    g_assert_cmphex(machine->memory[0x1234], ==, 0x77);
    expect("mfffffffffffffff0,20", "E14");
    expect("Qqemu.PhyMemMode:0", "OK");
    expect("m1234,1", "77");
    expect("Qqemu.PhyMemMode", "E22");
    expect("qqemu.Supported", "sstepbits;sstep;PhyMemMode");
    end();
}

/* --- Points --- */

static void test_points(void)
{
    begin();
    expect("Z0,7c00,1", "OK");
    expect("Z0,7c00,1", "OK");
    expect("Z0,7c00,4", "OK"); /* the same: there are no kinds of it */
    g_assert_cmpuint(machine->points->len, ==, 1);
    expect("Z1,7c00,1", "OK");
    expect("Z2,500,4", "OK");
    expect("Z3,500,1000", "OK");
    expect("Z4,500,1001", "OK"); /* more than the target takes at once */
    g_assert_cmpuint(machine->points->len, ==, 6);
    expect("Z4,2000,8000", "E22"); /* beyond the budget, and nothing of it stays */
    g_assert_cmpuint(machine->points->len, ==, 6);
    expect("z4,500,1001", "OK");
    g_assert_cmpuint(machine->points->len, ==, 4);
    expect("z3,500,1000", "OK");
    expect("z3,500,1000", "OK");
    expect("z0,7c00,1", "OK");
    g_assert_cmpuint(machine->points->len, ==, 2);
    expect("Z2,0,0", "E22");
    expect("Z2,0,10001", "E22");
    expect("Z2,ffffffff,2", "E22");
    expect("Z0,100000000,1", "E22");
    expect("Z0", "E22");
    expect("Z", "E22");
    expect("Z0,7c00,1;X1,00", "E22");
    expect("?", "T05thread:01;"); /* a new one begins with none */
    g_assert_cmpuint(machine->points->len, ==, 0);
    expect("Z0,1,1", "OK");
    fake_event(&line, CHARDEV_CLOSED);
    fake_main_loop();
    g_assert_cmpuint(machine->points->len, ==, 0);
    g_assert_true(machine->running);
    end();
}

/* --- Running --- */

static void test_stop_replies(void)
{
    begin();
    expect_nothing("c");
    check_log("r");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_BREAK});
    expect_news("T05thread:01;");
    send_body("qSupported:multiprocess+;swbreak+;hwbreak+", 42);
    send_body("QStartNoAckMode", 15);
    expect_nothing("vCont;c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_BREAK});
    expect_news("T05swbreak:;thread:p01.01;");
    expect_nothing("vCont;c:p1.1");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_BREAK, .point = DEBUG_BREAK_HARDWARE});
    expect_news("T05hwbreak:;thread:p01.01;");
    expect("vCont;t", "T05hwbreak:;thread:p01.01;");
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_WATCH, .point = DEBUG_WATCH_WRITE, .address = 0x1f00});
    expect_news("T05watch:1f00;thread:p01.01;");
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_WATCH, .point = DEBUG_WATCH_READ, .address = 0xfffffffc});
    expect_news("T05rwatch:fffffffc;thread:p01.01;");
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_WATCH, .point = DEBUG_WATCH_ACCESS, .address = 0});
    expect_news("T05awatch:0;thread:p01.01;");
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_OFF});
    g_assert_cmpuint(line.out->len, ==, 0); /* perhaps the program ends */
    fake_main_loop();
    expect_news("T03thread:p01.01;");
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_OFF});
    raw("\x03", 1); /* once */
    expect_news("T03thread:p01.01;");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_ASKED}); /* it knows that it stands */
    g_assert_cmpuint(line.out->len, ==, 0);
    end();
}

static void test_resume(void)
{
    begin();
    machine->cpu.cr0 = CR0_PE;
    machine->log->len = 0;
    expect("s", "T05thread:01;");
    check_log("s3");
    expect("qqemu.sstepbits", "ENABLE=1,NOIRQ=2,NOTIMER=4");
    expect("qqemu.sstep", "0x7");
    expect("Qqemu.sstep=0x5", "OK");
    expect("qqemu.sstep", "0x5");
    expect("s1234", "T05thread:01;");
    check_log("s2");
    g_assert_cmphex(machine->cpu.eip, ==, 0x1235);
    expect("Qqemu.sstep=8", "E22");
    expect("Qqemu.sstep", "E22");
    expect("Qqemu.sstep=1", "OK");
    expect("S05;42", "T05thread:01;");
    expect("vCont;s:1;c", "T05thread:01;");
    expect("vCont;S05", "T05thread:01;");
    check_log("s0s0s0");
    g_assert_cmphex(machine->cpu.eip, ==, 0x45);
    expect("vCont?", "vCont;c;C;s;S;t;r");
    static const char *const bad[] = {"vCont",   "vCont;",   "vCont;x", "vCont;s:7",  "vCont;s:p2.1",
                                      "vCont;C", "vCont;s1", "vCont;r", "vCont;r1",   "vCont;r1,2x",
                                      "C",       "Czz",      "c1x",     "s100000000", "S5;5;5"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        expect(bad[i], "E22");
    check_log("");
    expect("Qqemu.sstep=0", "OK"); /* then a step is none */
    expect_nothing("s");
    check_log("r");
    raw("\x03", 1);
    expect_news("T02thread:01;");
    check_log("h");
    expect_nothing("c77");
    g_assert_cmphex(machine->cpu.eip, ==, 0x77);
    raw("\x03\x03", 2);
    expect_news("T02thread:01;");
    check_log("rh");
    raw("\x03", 1); /* nothing runs */
    g_assert_cmpuint(line.out->len, ==, 0);
    expect_nothing("C02;55");
    g_assert_cmphex(machine->cpu.eip, ==, 0x55);
    end();
}

/* Many steps that are one: until the range is left, or something else is met. */
static void test_step_range(void)
{
    begin();
    machine->cpu.eip = 0x100;
    expect("vCont;r100,105:1;c", "T05thread:01;");
    g_assert_cmphex(machine->cpu.eip, ==, 0x105);
    expect("vCont;r0,10", "T05thread:01;"); /* one step in any case */
    g_assert_cmphex(machine->cpu.eip, ==, 0x106);
    expect("s", "T05thread:01;"); /* nothing stays of it */
    g_assert_cmphex(machine->cpu.eip, ==, 0x107);
    /* Without end; a debugger can interrupt, ask for something, leave. */
    for (unsigned i = 0; i < 4; i++) {
        GString *packet = framed("vCont;r0,ffffffff", 17);
        g_byte_array_set_size(line.out, 0);
        fake_feed(&line, packet->str, packet->len);
        g_string_free(packet, TRUE);
        for (unsigned turns = 0; turns < 100; turns++)
            g_main_context_iteration(NULL, FALSE);
        g_assert_cmpuint(line.out->len, ==, 0);
        if (i == 0) {
            raw("\x03", 1);
            expect_news("T02thread:01;");
        } else if (i == 1) {
            send_body("p0", 2);
            g_assert_cmpstr(answer(), ==, "$T02thread:01;#04$00000000#80");
        } else if (i == 2) {
            expect("D", "OK");
            expect("?", "T05thread:01;");
        } else {
            fake_event(&line, CHARDEV_CLOSED);
            fake_main_loop();
        }
    }
    end();
}

/* What comes while the machine runs interrupts it; what needs no machine does not. */
static void test_while_running(void)
{
    begin();
    expect_nothing("c");
    expect("qC", "QC01");
    g_assert_true(machine->running);
    send_body("p0", 2);
    g_assert_cmpstr(answer(), ==, "$T02thread:01;#04$00000000#80");
    /* The user has let it go: the debugger does not wait and hears nothing. */
    expect("qRcmd,636f6e74", "OK");
    g_assert_true(machine->running);
    expect("p0", "00000000");
    g_assert_false(machine->running);
    /* The user holds it: whoever waits can still interrupt. */
    machine->held = true;
    expect_nothing("c");
    raw("\x03", 1);
    expect_news("T02thread:01;");
    expect_nothing("c");
    send_body("p0", 2);
    g_assert_cmpstr(answer(), ==, "$T02thread:01;#04$00000000#80");
    end();
}

static void test_detach(void)
{
    begin();
    check_log("");
    expect("D;2", "E22");
    expect("D", "OK");
    check_log("rd"); /* one that was stopped from its start (-S), too */
    expect("D;1", "OK");
    g_assert_true(machine->running);
    raw("\x03", 1);
    g_assert_cmpuint(line.out->len, ==, 0);
    expect("qC", "QC01");
    g_assert_true(machine->running);
    expect("vAttach;1", "T05thread:01;"); /* again, on the same line */
    check_log("a");
    expect("vAttach;2", "E22");
    expect("D;1", "OK");
    expect("m0,1", "00");
    check_log("rda");
    end();
}

static void test_connections(void)
{
    begin();
    check_log("");
    expect_nothing("c");
    raw("$m12", 4); /* gone in mid-packet, while it runs */
    fake_event(&line, CHARDEV_CLOSED);
    fake_main_loop();
    check_log("rd");
    g_assert_true(machine->running);
    fake_event(&line, CHARDEV_OPENED);
    fake_main_loop();
    check_log("a");
    expect_raw("$qC#b4", "+$QC01#f5"); /* with acknowledgements */
    fake_event(&line, CHARDEV_CLOSED);
    fake_event(&line, CHARDEV_OPENED);
    fake_main_loop();
    check_log("da");
    /* A line that does not tell: the second greeting is a new debugger's. */
    raw("$qSupported#37+$QStartNoAckMode#b0", 34);
    expect("Qqemu.PhyMemMode:1", "OK");
    raw("$qSupported#37", 14);
    g_assert_true(g_str_has_prefix(answer(), "+$PacketSize"));
    expect_raw("$qC#b4", "+$QC01#f5");
    expect_raw("+$qqemu.PhyMemMode#2c", "+$0#30");
    end();
}

static void test_refused(void)
{
    GError *error = NULL;
    begin();
    g_assert_null(gdb_stub_new(&line.base, &machine->target, &hooks, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    expect("D", "OK");
    machine->refuses = true; /* somebody else has it meanwhile */
    g_string_truncate(machine->log, 0);
    expect("?", "E.there is a debugger already");
    expect("c", "E.there is a debugger already");
    expect("qC", "QC01");
    expect("Z0,1,1", "E.there is a debugger already");
    check_log("");
    g_assert_true(machine->running);
    machine->refuses = false;
    expect("?", "T05thread:01;");
    check_log("a");
    end();
}

static void test_kill(void)
{
    begin();
    expect_nothing("k");
    g_assert_cmpuint(quits, ==, 1);
    expect("vKill;2", "E22");
    expect("vKill;1", "OK");
    g_assert_cmpuint(quits, ==, 2);
    expect_nothing("R00");
    g_assert_cmpuint(resets, ==, 1);
    g_byte_array_set_size(line.out, 0);
    expect_nothing("c");
    fake_stopped(machine, (struct debug_stop){.why = DEBUG_OFF});
    gdb_stub_exited(stub, 0x121);
    expect_news("W21"); /* and no T03 */
    end();
    gdb_stub_exited(NULL, 0);
    gdb_stub_free(NULL);
}

static void test_monitor(void)
{
    begin();
    send_body("qRcmd,696e666f", 14);
    g_assert_cmpstr(answer(), ==, "$O3c696e666f3e0a#20$OK#9a");
    expect("qRcmd,", "OK");
    expect("qRcmd", "E22");
    expect("qRcmd,6", "E22");
    expect("qRcmd,zz", "E22");
    send_body("qRcmd,6c6f6e67", 14); /* in pieces that a debugger can take */
    GString *text = g_string_new(NULL);
    for (const char *at = answer(); at[1] == 'O' && at[2] != 'K';) {
        size_t len = strcspn(at, "#");
        g_assert_cmpuint(len - 1, <=, 0x4000);
        for (size_t i = 2; i < len; i += 2)
            g_string_append_c(text, (char)(g_ascii_xdigit_value(at[i]) << 4 | g_ascii_xdigit_value(at[i + 1])));
        at += len + 3;
    }
    g_assert_cmpuint(text->len, ==, 50000);
    for (unsigned i = 0; i < text->len; i++)
        g_assert_cmpint(text->str[i], ==, '0' + (int)(i % 10));
    g_string_free(text, TRUE);
    end();
}

/* A command may end the stub; what follows it has nobody to go to. */
static void test_free_within(void)
{
    begin();
    raw("$qRcmd,66726565#ce$qC#b4", 24);
    g_assert_cmpuint(line.out->len, ==, 0);
    g_assert_null(stub);
    end();
}

/* Somebody who asks and never reads is not heard further; when he goes, the machine goes on. */
static void test_never_reads(void)
{
    begin();
    line.capacity = 0;
    for (unsigned i = 0; i < 200; i++)
        send_body("m0,2000", 7);
    g_assert_true(machine->attached);
    fake_event(&line, CHARDEV_CLOSED);
    fake_main_loop();
    g_assert_true(machine->running);
    g_assert_false(machine->attached);
    end();
}

/* --- Anything --- */

static void random_body(GString *body)
{
    static const char *const starts[] = {"g",
                                         "G",
                                         "p",
                                         "P",
                                         "m",
                                         "M",
                                         "X",
                                         "Z",
                                         "z",
                                         "?",
                                         "c",
                                         "s",
                                         "C",
                                         "S",
                                         "vCont;",
                                         "D",
                                         "H",
                                         "T",
                                         "q",
                                         "Q",
                                         "v",
                                         "R",
                                         "qRcmd,",
                                         "qXfer:features:read:",
                                         "!",
                                         "qXfer:features:read:target.xml:",
                                         "Qqemu.sstep=",
                                         "Qqemu.PhyMemMode:",
                                         "bs",
                                         "vAttach;",
                                         "qSupported:",
                                         "QStartNoAckMode",
                                         "qThreadExtraInfo,",
                                         "D;1"};
    static const char letters[] = "0123456789abcdef0123456789abcdef,:;=.-pcsCStfx ?zZ\x03\x7f\xff";
    g_string_assign(body, starts[g_test_rand_int_range(0, G_N_ELEMENTS(starts))]);
    for (int left = g_test_rand_int_range(0, g_test_rand_bit() ? 8 : 60); left > 0; left--)
        g_string_append_c(body, letters[g_test_rand_int_range(0, sizeof(letters) - 1)]);
    if (g_test_rand_int_range(0, 4) == 0)
        g_string_append_printf(body, "%x,%x", g_test_rand_int_range(0, 0x40000), g_test_rand_int_range(0, 0x3000));
}

static void test_random(void)
{
    unsigned packets = g_test_slow() ? 1000000 : 100000;
    begin();
    GString *body = g_string_new(NULL);
    for (unsigned i = 0; i < packets; i++) {
        random_body(body);
        GString *packet = framed(body->str, body->len);
        if (g_test_rand_int_range(0, 10) == 0) /* garbled */
            packet->str[g_test_rand_int_range(0, (int)packet->len)] ^= (char)(1 << g_test_rand_int_range(0, 8));
        if (g_test_rand_int_range(0, 20) == 0)
            g_string_truncate(packet, (gsize)g_test_rand_int_range(0, (int)packet->len));
        raw(packet->str, packet->len);
        g_string_free(packet, TRUE);
        if (machine->running && machine->attached && g_test_rand_bit())
            fake_stopped(machine, (struct debug_stop){g_test_rand_int_range(0, 5), g_test_rand_int_range(0, 5),
                                                      (gla_t)g_test_rand_int()});
        if (g_test_rand_int_range(0, 1000) == 0) {
            fake_event(&line, CHARDEV_CLOSED);
            fake_event(&line, CHARDEV_OPENED);
        }
        machine->log->len = 0;
    }
    g_string_free(body, TRUE);
    fake_event(&line, CHARDEV_CLOSED);
    fake_event(&line, CHARDEV_OPENED);
    fake_main_loop();
    expect_raw("$?#3f", "+$T05thread:01;#07"); /* and it is all there still */
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name_) g_test_add_func("/gdb/" #name_, test_##name_)
    TEST(acks);
    TEST(split_and_junk);
    TEST(too_long);
    TEST(unknown);
    TEST(supported);
    TEST(threads);
    TEST(registers_plain);
    TEST(registers_described);
    TEST(register_write);
    TEST(registers_write_all);
    TEST(registers_real_mode);
    TEST(description);
    TEST(description_follows);
    TEST(memory);
    TEST(physical);
    TEST(points);
    TEST(stop_replies);
    TEST(resume);
    TEST(step_range);
    TEST(while_running);
    TEST(detach);
    TEST(connections);
    TEST(refused);
    TEST(kill);
    TEST(monitor);
    TEST(free_within);
    TEST(never_reads);
    TEST(random);
    return g_test_run();
}
