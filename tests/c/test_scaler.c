/* The machine that decides when to borrow a back end and when to give one back. */
#include "support.h"

#define MS UINT64_C(1000000)

static clc_decision step(clc_scaler *scaler, uint64_t now_ns, const clc_sample *sample) {
    clc_decision decision = {.kind = 99};
    assert_ok(clc_scaler_step(scaler, now_ns, sample, &decision));
    return decision;
}

static void load_rises_and_falls(void **state) {
    (void)state;
    clc_scaler *scaler;
    clc_scaler_options options;
    clc_child_sample child = {.backend = 9, .cores = 1, .in_flight = 1};
    clc_sample sample = {.struct_size = sizeof sample, .local_in_flight = 8, .local_cores = 1, .pool_idle = 3};
    assert_ok(clc_scaler_options_init(&options, sizeof options));
    options.hold_ns_add = 50 * MS;
    options.hold_ns_remove = 100 * MS;
    options.cool_down_ns = 10 * MS;
    assert_ok(clc_scaler_new(&options, &scaler));

    assert_int_equal(step(scaler, 0, &sample).kind, CLC_DECISION_KIND_NOTHING);
    clc_decision add = step(scaler, 60 * MS, &sample);
    assert_int_equal(add.kind, CLC_DECISION_KIND_ADD);
    assert_int_equal(add.reason, CLC_REASON_FRONT_END_HIGH);
    assert_int_equal(add.percent, 800);
    assert_int_equal(add.threshold_percent, options.high_percent);
    assert_int_equal(add.held_ns, 60 * MS);

    sample.local_in_flight = 0;
    sample.children = &child;
    sample.children_len = 1;
    assert_int_equal(step(scaler, 100 * MS, &sample).kind, CLC_DECISION_KIND_NOTHING);
    child.in_flight = 0;
    assert_int_equal(step(scaler, 200 * MS, &sample).kind, CLC_DECISION_KIND_NOTHING);
    clc_decision removal = step(scaler, 350 * MS, &sample);
    assert_int_equal(removal.kind, CLC_DECISION_KIND_REMOVE);
    assert_int_equal(removal.reason, CLC_REASON_LAST_IDLE);
    assert_int_equal(removal.backend, 9);
    assert_int_equal(clc_scaler_decisions(scaler), 2);
    clc_scaler_free(scaler);
}

static void sampled_signals_are_read(void **state) {
    (void)state;
    clc_scaler *scaler;
    clc_scaler_options options = {.struct_size = sizeof options,
                                  .signal = CLC_SIGNAL_CPU,
                                  .medium_percent = 50,
                                  .high_percent = 80,
                                  .hold_ns_add = 1};
    clc_child_sample children[2] = {{.backend = 1, .reading_per_mille = 900},
                                    {.backend = 2, .reading_per_mille = 850}};
    clc_sample sample = {
        .struct_size = sizeof sample, .children = children, .children_len = 2, .pool_idle = 1};
    assert_ok(clc_scaler_new(&options, &scaler));
    step(scaler, 0, &sample);
    clc_decision add = step(scaler, MS, &sample);
    assert_int_equal(add.kind, CLC_DECISION_KIND_ADD);
    assert_int_equal(add.reason, CLC_REASON_ALL_HIGH);
    assert_int_equal(add.percent, 85);
    assert_int_equal(add.count, 2);
    clc_scaler_free(scaler);
}

static void the_minimum_is_filled_and_the_maximum_kept(void **state) {
    (void)state;
    clc_scaler *scaler;
    clc_scaler_options options = {
        .struct_size = sizeof options, .backends_min = 1, .backends_max = 1, .cool_down_ns = 1};
    clc_child_sample children[2] = {{.backend = 1, .in_flight = 1}, {.backend = 2, .in_flight = 1}};
    clc_sample sample = {.struct_size = sizeof sample, .pool_idle = 1};
    assert_ok(clc_scaler_new(&options, &scaler));
    clc_decision decision = step(scaler, 0, &sample);
    assert_int_equal(decision.kind, CLC_DECISION_KIND_ADD);
    assert_int_equal(decision.reason, CLC_REASON_BELOW_MINIMUM);
    sample.starting = 1;
    assert_int_equal(step(scaler, MS, &sample).kind, CLC_DECISION_KIND_NOTHING);
    sample.starting = 0;
    sample.children = children;
    sample.children_len = 2;
    decision = step(scaler, 2 * MS, &sample);
    assert_int_equal(decision.kind, CLC_DECISION_KIND_REMOVE);
    assert_int_equal(decision.reason, CLC_REASON_ABOVE_MAXIMUM);
    assert_int_equal(decision.backend, 2);
    /* one that drains does not count */
    children[1].state = CLC_CHILD_STATE_DRAINING;
    assert_int_equal(step(scaler, 3 * MS, &sample).kind, CLC_DECISION_KIND_NOTHING);
    clc_scaler_free(scaler);
}

static void wrong_samples_are_refused(void **state) {
    (void)state;
    clc_scaler *scaler = NULL;
    clc_decision decision = {.kind = 99};
    clc_child_sample child = {.state = 4};
    clc_sample sample = {.struct_size = sizeof sample, .children_len = 1};
    clc_scaler_options options = {.struct_size = sizeof options, .medium_percent = 900};
    assert_fails(clc_scaler_new(&options, &scaler), CLC_ERROR_BAD_CONFIGURATION, "medium_percent is 900");
    options.medium_percent = 0;
    options.signal = 3;
    assert_fails(clc_scaler_new(&options, &scaler), CLC_ERROR_INVALID_ARGUMENT, "signal is 3");
    options.signal = CLC_SIGNAL_LATENCY;
    options.medium_percent = 0;
    assert_fails(clc_scaler_new(&options, &scaler), CLC_ERROR_INVALID_ARGUMENT, "medium_percent and high_percent");
    assert_null(scaler);
    assert_ok(clc_scaler_new(NULL, &scaler));
    assert_null_argument(clc_scaler_step(scaler, 0, &sample, &decision), "children");
    sample.children = &child;
    assert_fails(clc_scaler_step(scaler, 0, &sample, &decision), CLC_ERROR_INVALID_ARGUMENT, "state is 4");
    assert_null_argument(clc_scaler_step(scaler, 0, NULL, &decision), "sample");
    assert_null_argument(clc_scaler_step(scaler, 0, &sample, NULL), "decision_out");
    assert_int_equal(decision.kind, 99);
    clc_scaler_free(scaler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_rises_and_falls),
        cmocka_unit_test(sampled_signals_are_read),
        cmocka_unit_test(the_minimum_is_filled_and_the_maximum_kept),
        cmocka_unit_test(wrong_samples_are_refused),
    };
    return cmocka_run_group_tests_name("scaler", tests, NULL, NULL);
}
