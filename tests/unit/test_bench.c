/* The pure parts of ringer bench: statistics, results, targets, cpio. */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "bench/cpio.h"
#include "bench/results.h"
#include "bench/sample.h"
#include "bench/targets.h"

static void test_median(void)
{
    const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, one[] = {7};
    g_assert_cmpfloat(sample_median(odd, 3), ==, 3);
    g_assert_cmpfloat(sample_median(even, 4), ==, 2.5);
    g_assert_cmpfloat(sample_median(one, 1), ==, 7);
    g_assert_cmpfloat(odd[0], ==, 5); /* not sorted in place */
}

static void test_spread(void)
{
    const double values[] = {5, 1, 3};
    g_assert_cmpfloat(sample_least(values, 3), ==, 1);
    g_assert_cmpfloat(sample_most(values, 3), ==, 5);
}

static void test_geomean(void)
{
    const double values[] = {1, 10, 100}, zero[] = {1, 0}, missing[] = {1, NAN};
    g_assert_cmpfloat_with_epsilon(sample_geomean(values, 3), 10, 1e-9);
    g_assert_true(isnan(sample_geomean(values, 0)));
    g_assert_true(isnan(sample_geomean(zero, 2)));
    g_assert_true(isnan(sample_geomean(missing, 2)));
}

static void test_results(void)
{
    const struct figure *figure = figure_find("pipe");
    const double *values;
    struct results results;
    results_init(&results);
    g_assert_true(isnan(results_median(&results, "bt", figure)));
    g_assert_true(isnan(results_of_native(&results, "bt", figure)));
    results_add(&results, "bt", figure, 30);
    results_add(&results, "bt", figure, 10);
    results_add(&results, "bt", figure, 20);
    results_add(&results, RESULTS_NATIVE, figure, 10);
    g_assert_cmpuint(results_values(&results, "bt", figure, &values), ==, 3);
    g_assert_cmpfloat(values[0], ==, 30);
    g_assert_cmpfloat(results_of_native(&results, "bt", figure), ==, 2);
    g_assert_cmpuint(results_values(&results, "tcg", figure, &values), ==, 0);
    results_clear(&results);
}

/* The same complaint once; different results of the same work are one. */
static void test_complaints(void)
{
    const struct figure *figure = figure_find("fib");
    struct results results;
    results_init(&results);
    results_check_sum(&results, "native", figure, 0xb520);
    results_check_sum(&results, "bt", figure, 0xb520);
    g_assert_cmpuint(results.complaints->len, ==, 0);
    results_check_sum(&results, "bt", figure, 0xb521);
    results_check_sum(&results, "bt", figure, 0xb521);
    g_assert_cmpuint(results.complaints->len, ==, 1);
    g_assert_nonnull(strstr(g_ptr_array_index(results.complaints, 0), "0000b521"));
    results_clear(&results);
}

/* ratio for all of the compute set, and worst for one of it */
static void compute_set(struct results *results, const char *engine, double ratio, double worst)
{
    for (unsigned i = 0; i < figure_count; i++) {
        if (figures[i].part != FIGURE_COMPUTE)
            continue;
        results_add(results, engine, &figures[i], 1000 * (strcmp(figures[i].name, "list") == 0 ? worst : ratio));
    }
}

static void test_compute_mean(void)
{
    struct results results;
    const char *name = NULL;
    double worst;
    results_init(&results);
    compute_set(&results, RESULTS_NATIVE, 1, 1);
    compute_set(&results, "bt", 2, 2);
    compute_set(&results, "tcg", 1, 512);
    g_assert_cmpfloat_with_epsilon(results_mean(&results, "bt", FIGURE_COMPUTE, NULL, NULL), 2, 1e-9);
    g_assert_cmpfloat_with_epsilon(results_mean(&results, "tcg", FIGURE_COMPUTE, &worst, &name), 2,
                                   1e-9); /* 9 of them */
    g_assert_cmpfloat(worst, ==, 512);
    g_assert_cmpstr(name, ==, "list");
    g_assert_true(isnan(results_mean(&results, "kvm", FIGURE_COMPUTE, NULL, NULL)));
    g_assert_true(isnan(results_mean(&results, "bt", FIGURE_REAL, NULL, NULL))); /* another part */
    results_clear(&results);
}

static const struct target *target_find(GArray *targets, const char *engine, const char *title)
{
    for (unsigned i = 0; i < targets->len; i++) {
        const struct target *t = &g_array_index(targets, struct target, i);
        if (strcmp(t->engine, engine) == 0 && g_str_has_prefix(t->title, title))
            return t;
    }
    return NULL;
}

static void test_targets(void)
{
    struct results results;
    results_init(&results);
    GArray *targets = targets_judge(&results);
    g_assert_cmpuint(targets->len, ==, 0); /* what was not measured is neither met nor missed */
    targets_free(targets);

    compute_set(&results, RESULTS_NATIVE, 1, 1);
    compute_set(&results, "bt", 1.05, 1.45);
    results_add(&results, RESULTS_NATIVE, figure_find("syscall"), 100);
    results_add(&results, "bt", figure_find("syscall"), 299);
    results_add(&results, RESULTS_NATIVE, figure_find("fault"), 100);
    results_add(&results, "bt", figure_find("fault"), 501);
    results_add(&results, "bt", figure_find("boot"), 1e9);
    results_add(&results, "tcg", figure_find("boot"), 5e9);
    results_add(&results, "bt", figure_find("in"), 301);
    targets = targets_judge(&results);
    g_assert_true(target_find(targets, "bt", "compute set, geometric")->met);
    g_assert_false(target_find(targets, "bt", "compute set, the worst (list)")->met);
    g_assert_true(target_find(targets, "bt", "null system call")->met);
    g_assert_false(target_find(targets, "bt", "page fault, fresh")->met);
    g_assert_true(target_find(targets, "bt", "kernel boot")->met);
    g_assert_false(target_find(targets, "bt", "IN from")->met);
    g_assert_null(target_find(targets, "bt", "pipe"));
    char *text = target_text(target_find(targets, "bt", "page fault, fresh"));
    g_assert_true(g_str_has_prefix(text, "MISSED bt, page fault"));
    g_free(text);
    targets_free(targets);

    /* Measured, direct execution answers for all but bt's own computing. */
    results_add(&results, "direct", figure_find("fault"), 400);
    targets = targets_judge(&results);
    g_assert_true(target_find(targets, "direct", "page fault, fresh")->met);
    g_assert_null(target_find(targets, "bt", "page fault, fresh"));
    g_assert_nonnull(target_find(targets, "bt", "compute set, geometric"));
    targets_free(targets);
    results_clear(&results);
}

static void test_figures(void)
{
    for (unsigned i = 0; i < figure_count; i++) {
        g_assert_true(figure_find(figures[i].name) == &figures[i]); /* no name twice */
        g_assert_cmpstr(figure_unit(&figures[i]), ==, figures[i].part == FIGURE_NANO ? "cycles" : "ns");
    }
    g_assert_null(figure_find("nothing"));
}

static void test_cpio(void)
{
    GByteArray *archive = g_byte_array_new();
    cpio_add(archive, "init", 0100755, "abcde", 5, 0, 0);
    cpio_end(archive);
    const char *at = (const char *)archive->data;
    g_assert_cmpmem(at, 6, "070701", 6);
    g_assert_cmpmem(at + 14, 8, "000081ED", 8); /* mode */
    g_assert_cmpmem(at + 54, 8, "00000005", 8); /* size */
    g_assert_cmpmem(at + 94, 8, "00000005", 8); /* of the name, with its end */
    g_assert_cmpmem(at + 110, 6, "init\0", 6);  /* padded to 116 */
    g_assert_cmpmem(at + 116, 8, "abcde\0\0\0", 8);
    g_assert_cmpmem(at + 124 + 110, 11, "TRAILER!!!", 11);
    g_assert_cmpuint(archive->len % 4, ==, 0);
    g_byte_array_free(archive, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bench/median", test_median);
    g_test_add_func("/bench/spread", test_spread);
    g_test_add_func("/bench/geomean", test_geomean);
    g_test_add_func("/bench/results", test_results);
    g_test_add_func("/bench/complaints", test_complaints);
    g_test_add_func("/bench/compute_mean", test_compute_mean);
    g_test_add_func("/bench/targets", test_targets);
    g_test_add_func("/bench/figures", test_figures);
    g_test_add_func("/bench/cpio", test_cpio);
    return g_test_run();
}
