/* See hostcpu.h. */
#include "hostcpu.h"

#include <cpuid.h>
#include <string.h>

static bool rotate_keeps_of(void)
{
    uint8_t value = 1, of;

    /* 7Fh + 1 sets OF; what ROL by 2 computes of 1 is 4, CF and bit 31 clear: OF 0. */
    __asm__("movb $0x7f, %1\n\taddb $1, %1\n\trolb $2, %0\n\tseto %1" : "+q"(value), "=&q"(of) : : "cc");
    return of;
}

static struct hostcpu found;

/* Before main: nobody needs to be the first. */
static void __attribute__((constructor)) find_out(void)
{
    unsigned a, b = 0, c, d, vendor[3];

    __get_cpuid(0, &a, &vendor[0], &vendor[2], &vendor[1]);
    bool intel = memcmp(vendor, "GenuineIntel", sizeof vendor) == 0;
    found = (struct hostcpu){
        .rotate_keeps_of = rotate_keeps_of(),
        .fdp_on_exception = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 6 & 1),
        .strings_keep_flags = intel,
        .mmx_store_clears_top = intel,
        .push_seg_16 = intel,
        .maskmov_high_first = intel,
        .x87_store_probes = !intel,
        .unaligned16_ac = !intel,
    };
}

const struct hostcpu *hostcpu(void)
{
    return &found;
}

void hostcpu_assume(const struct hostcpu *assumed)
{
    found = *assumed;
}
