/* Thresholds learnt from response times. */
#include "support.h"

#define MS UINT64_C(1000000)

static void observe(clc_auto_thresholds *thresholds, uint64_t now_ns, uint32_t in_flight, uint64_t latency_ns) {
    for (int i = 0; i < 50; i++) assert_ok(clc_auto_thresholds_observe(thresholds, now_ns, in_flight, latency_ns));
}

static void the_knee_is_learnt(void **state) {
    (void)state;
    clc_auto_thresholds *thresholds = NULL;
    clc_auto_thresholds_options options;
    uint32_t medium = 0, high = 0;
    uint64_t latency_ns = 0;
    assert_ok(clc_auto_thresholds_options_init(&options, sizeof options));
    assert_int_equal(options.knee_ratio_percent, 135);
    options.cores = 2;
    assert_ok(clc_auto_thresholds_new(&options, &thresholds));
    assert_ok(clc_auto_thresholds_get(thresholds, &medium, &high));
    assert_int_equal(medium, options.medium_percent);
    assert_int_equal(high, options.high_percent);
    assert_ok(clc_auto_thresholds_latency_min_ns(thresholds, &latency_ns));
    assert_true(latency_ns == UINT64_MAX);

    /* two cores: one request each takes 10 ms, more only wait longer */
    observe(thresholds, 1, 1, 10 * MS);
    observe(thresholds, 2, 2, 11 * MS);
    observe(thresholds, 3, 4, 20 * MS);
    observe(thresholds, 4, 6, 30 * MS);
    assert_ok(clc_auto_thresholds_get(thresholds, &medium, &high));
    assert_int_equal(medium, 100);
    assert_int_equal(high, 300);
    assert_ok(clc_auto_thresholds_latency_min_ns(thresholds, &latency_ns));
    assert_int_equal(latency_ns, 10 * MS);

    /* a scaler takes them as they are */
    clc_scaler *scaler = NULL;
    clc_scaler_options scaler_options = {
        .struct_size = sizeof scaler_options, .medium_percent = medium, .high_percent = high};
    assert_ok(clc_scaler_new(&scaler_options, &scaler));
    clc_scaler_free(scaler);
    clc_auto_thresholds_free(thresholds);
}

static void what_is_old_is_forgotten(void **state) {
    (void)state;
    clc_auto_thresholds *thresholds = NULL;
    clc_auto_thresholds_options options = {
        .struct_size = sizeof options, .forget_after_ns = 100 * MS, .samples_min = 10};
    uint64_t latency_ns = 0;
    assert_ok(clc_auto_thresholds_new(&options, &thresholds));
    observe(thresholds, 0, 1, 10 * MS);
    observe(thresholds, 99 * MS, 2, 40 * MS);
    assert_ok(clc_auto_thresholds_latency_min_ns(thresholds, &latency_ns));
    assert_int_equal(latency_ns, 10 * MS);
    observe(thresholds, 100 * MS, 2, 40 * MS);
    assert_ok(clc_auto_thresholds_latency_min_ns(thresholds, &latency_ns));
    assert_int_equal(latency_ns, 40 * MS);
    clc_auto_thresholds_free(thresholds);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    clc_auto_thresholds *thresholds = NULL;
    clc_auto_thresholds_options options = {.struct_size = sizeof options, .medium_percent = 9, .high_percent = 8};
    uint32_t percent = 7;
    uint64_t latency_ns = 7;
    assert_fails(clc_auto_thresholds_new(&options, &thresholds), CLC_ERROR_BAD_CONFIGURATION, "medium_percent is 9");
    assert_null(thresholds);
    assert_null_argument(clc_auto_thresholds_new(NULL, NULL), "thresholds_out");
    assert_null_argument(clc_auto_thresholds_options_init(NULL, sizeof options), "options");
    WRONG_SIZES(clc_auto_thresholds_options, clc_auto_thresholds_options_init(&options, size));
    WRONG_SIZES(clc_auto_thresholds_options,
                (options.struct_size = size, clc_auto_thresholds_new(&options, &thresholds)));
    assert_ok(clc_auto_thresholds_new(NULL, &thresholds));
    assert_fails(clc_auto_thresholds_observe(thresholds, 0, 0, MS), CLC_ERROR_INVALID_ARGUMENT, "in_flight is 0");
    assert_null_argument(clc_auto_thresholds_observe(NULL, 0, 1, MS), "thresholds");
    assert_null_argument(clc_auto_thresholds_get(NULL, &percent, &percent), "thresholds");
    assert_null_argument(clc_auto_thresholds_get(thresholds, NULL, &percent), "medium_percent_out");
    assert_null_argument(clc_auto_thresholds_get(thresholds, &percent, NULL), "high_percent_out");
    assert_null_argument(clc_auto_thresholds_latency_min_ns(NULL, &latency_ns), "thresholds");
    assert_null_argument(clc_auto_thresholds_latency_min_ns(thresholds, NULL), "latency_ns_out");
    assert_int_equal(percent, 7);
    clc_auto_thresholds_free(NULL);
    clc_auto_thresholds_free(thresholds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_knee_is_learnt),
        cmocka_unit_test(what_is_old_is_forgotten),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests_name("auto thresholds", tests, NULL, NULL);
}
