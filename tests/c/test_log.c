/* The log of a shard, and what its sink may do. */
#include "shard.h"

static void the_log_goes_to_the_sink(void **state) {
    FIXTURE(state);
    struct records records = {0};
    assert_ok(clc_shard_set_log_sink(fixture->shard, record, &records));
    assert_ok(clc_shard_turn(fixture->shard));
    assert_non_null(strstr(records.all, "driver ")); /* from before the sink */
    assert_non_null(strstr(records.all, "listening on 127.0.0.1:"));
    uint32_t one = add(fixture, &fixture->one);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, 0));
    PASS_UNTIL(fixture, strstr(records.all, "is drained") != NULL);
    int count = records.count;
    assert_ok(clc_shard_set_log_sink(fixture->shard, NULL, NULL));
    uint32_t two = add(fixture, &fixture->two);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, two, 0));
    pass(fixture);
    assert_int_equal(records.count, count);
}

struct nosy {
    clc_shard *shard;
    int calls;
    int status;
};

static void call_back(void *user, uint32_t level, const char *text) {
    struct nosy *nosy = user;
    int64_t timeout_ns;
    (void)level;
    (void)text;
    nosy->calls++;
    nosy->status = clc_shard_next_timeout_ns(nosy->shard, &timeout_ns);
    if (nosy->status == 0) nosy->status = clc_shard_turn(nosy->shard);
}

static void a_sink_may_call_the_library(void **state) {
    FIXTURE(state);
    struct nosy nosy = {.shard = fixture->shard, .status = 1};
    assert_ok(clc_shard_set_log_sink(fixture->shard, call_back, &nosy));
    assert_ok(clc_shard_turn(fixture->shard));
    assert_true(nosy.calls > 0);
    assert_int_equal(nosy.status, CLC_OK);
}

static void free_it(void *user, uint32_t level, const char *text) {
    clc_shard **shard = user;
    (void)level;
    (void)text;
    clc_shard_free(*shard);
    *shard = NULL;
}

static void a_sink_may_free_the_shard(void **state) {
    (void)state;
    clc_shard *shard;
    clc_forwarder *forwarder;
    assert_ok(clc_shard_new(NULL, &shard));
    assert_ok(clc_shard_add_forwarder(shard, NULL, &forwarder));
    assert_ok(clc_shard_set_log_sink(shard, free_it, &shard));
    assert_ok(clc_shard_turn(shard));
    assert_null(shard);
    assert_fails(clc_forwarder_drain_backend(forwarder, 1, 0), CLC_ERROR_CLOSED, "the shard was freed");
    clc_forwarder_free(forwarder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_log_goes_to_the_sink),
        ON_BOTH(a_sink_may_call_the_library),
        cmocka_unit_test(a_sink_may_free_the_shard),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
