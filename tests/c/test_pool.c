/* The pool: nodes that several services share, with leases and fencing tokens. */
#include "support.h"

#define MS UINT64_C(1000000)

enum { WEB = 7, MAIL = 8 };

/* Leases of one second, 100 ms of guard, 1500 ms to drain, 300 ms of reservation. */
static clc_pool *pool_of(uint32_t nodes) {
    clc_pool *pool = NULL;
    clc_pool_options options;
    assert_ok(clc_pool_options_init(&options, sizeof options));
    assert_int_equal(options.lease_ns, 5000 * MS);
    options.lease_ns = 1000 * MS;
    options.guard_ns = 100 * MS;
    options.revoke_grace_ns = 1500 * MS;
    options.reserve_ns = 300 * MS;
    assert_ok(clc_pool_new(&options, &pool));
    for (uint32_t node = 0; node < nodes; node++) assert_ok(clc_pool_add_node(pool, node));
    return pool;
}

static void announce(clc_pool *pool, uint32_t service, uint32_t min, uint32_t max, uint32_t weight) {
    clc_share_options share = {
        .struct_size = sizeof share, .nodes_min = min, .nodes_max = max, .weight = weight};
    assert_ok(clc_pool_add_service(pool, service, &share));
}

static clc_pool_answer request(clc_pool *pool, uint64_t now_ns, uint32_t service) {
    clc_pool_answer answer = {.kind = 99};
    assert_ok(clc_pool_request(pool, now_ns, service, &answer));
    return answer;
}

static clc_lease granted(clc_pool *pool, uint64_t now_ns, uint32_t service) {
    clc_pool_answer answer = request(pool, now_ns, service);
    assert_int_equal(answer.kind, CLC_POOL_ANSWER_KIND_GRANTED);
    assert_int_equal(answer.refusal, CLC_REFUSAL_NONE);
    assert_int_equal(answer.lease.service, service);
    return answer.lease;
}

static void a_lease_is_renewed_and_given_back(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_renewal renewal;
    clc_lease leases[1];
    size_t len = 7;
    uint64_t at_ns = 0;
    announce(pool, WEB, 0, 0, 0);
    assert_ok(clc_pool_next_expiry_ns(pool, &at_ns));
    assert_true(at_ns == UINT64_MAX);

    clc_lease lease = granted(pool, 0, WEB);
    assert_int_equal(lease.node, 0);
    assert_int_equal(lease.token, 1);
    assert_int_equal(lease.expires_ns, 1000 * MS);
    assert_int_equal(clc_pool_token(pool), 1);
    assert_ok(clc_pool_renew(pool, 600 * MS, 0, lease.token, &renewal));
    assert_int_equal(renewal.expires_ns, 1600 * MS);
    assert_int_equal(renewal.is_revoked, 0);
    assert_int_equal(renewal.give_back_by_ns, 0);
    assert_ok(clc_pool_next_expiry_ns(pool, &at_ns));
    assert_int_equal(at_ns, 1700 * MS);
    assert_ok(clc_pool_leases(pool, leases, 1, &len));
    assert_int_equal(len, 1);
    assert_int_equal(leases[0].expires_ns, 1600 * MS);

    assert_ok(clc_pool_release(pool, 700 * MS, 0, lease.token));
    assert_ok(clc_pool_leases(pool, NULL, 0, &len));
    assert_int_equal(len, 0);
    clc_pool_free(pool);
}

static void a_node_goes_to_another_only_after_the_guard(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_lease ended = {0};
    size_t len = 7;
    announce(pool, WEB, 0, 1, 1);
    announce(pool, MAIL, 0, 1, 1);
    clc_lease lease = granted(pool, 0, WEB);
    assert_int_equal(request(pool, 1050 * MS, MAIL).refusal, CLC_REFUSAL_FAIR_SHARE);
    assert_ok(clc_pool_expire(pool, 1099 * MS, &ended, 1, &len));
    assert_int_equal(len, 0);
    assert_ok(clc_pool_expire(pool, 1100 * MS, &ended, 1, &len));
    assert_int_equal(len, 1);
    assert_int_equal(ended.token, lease.token);
    assert_int_equal(ended.service, WEB);
    assert_int_equal(granted(pool, 1100 * MS, MAIL).token, lease.token + 1);
    clc_pool_free(pool);
}

static void a_former_holder_is_fenced(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_lease ended;
    clc_renewal renewal = {.expires_ns = 7};
    size_t len;
    announce(pool, WEB, 0, 1, 1);
    announce(pool, MAIL, 0, 1, 1);
    clc_lease old = granted(pool, 0, WEB);
    assert_fails(clc_pool_renew(pool, 1000 * MS, 0, old.token, &renewal), CLC_ERROR_STALE_TOKEN, "ended at 1000000000 ns");
    assert_ok(clc_pool_expire(pool, 1100 * MS, &ended, 1, &len));
    assert_fails(clc_pool_release(pool, 1100 * MS, 0, old.token), CLC_ERROR_STALE_TOKEN, "is not leased");
    clc_lease fresh = granted(pool, 1100 * MS, MAIL);
    assert_fails(clc_pool_renew(pool, 1200 * MS, 0, old.token, &renewal), CLC_ERROR_STALE_TOKEN, "under token 2, not 1");
    assert_fails(clc_pool_release(pool, 1200 * MS, 0, old.token), CLC_ERROR_STALE_TOKEN, "under token 2, not 1");
    assert_int_equal(renewal.expires_ns, 7);
    assert_ok(clc_pool_renew(pool, 1200 * MS, 0, fresh.token, &renewal));
    clc_pool_free(pool);
}

static void who_has_more_than_is_fair_gives_one_back(void **state) {
    (void)state;
    clc_pool *pool = pool_of(4);
    clc_renewal renewal;
    uint32_t idle = 7;
    announce(pool, WEB, 0, 0, 1);
    announce(pool, MAIL, 0, 0, 1);
    for (int i = 0; i < 4; i++) granted(pool, 0, WEB);
    clc_pool_answer answer = request(pool, 10 * MS, MAIL);
    assert_int_equal(answer.kind, CLC_POOL_ANSWER_KIND_REVOKE);
    assert_int_equal(answer.lease.service, WEB);
    assert_int_equal(answer.lease.node, 3);
    /* asking again revokes no other */
    assert_int_equal(request(pool, 20 * MS, MAIL).lease.token, answer.lease.token);
    assert_ok(clc_pool_renew(pool, 500 * MS, 3, answer.lease.token, &renewal));
    assert_int_equal(renewal.is_revoked, 1);
    assert_int_equal(renewal.give_back_by_ns, 1510 * MS);
    assert_ok(clc_pool_renew(pool, 900 * MS, 3, answer.lease.token, &renewal));
    assert_int_equal(renewal.expires_ns, 1510 * MS);
    assert_ok(clc_pool_release(pool, 910 * MS, 3, answer.lease.token));
    /* kept for the one that it was revoked for */
    assert_ok(clc_pool_idle_for(pool, WEB, &idle));
    assert_int_equal(idle, 0);
    assert_ok(clc_pool_idle_for(pool, MAIL, &idle));
    assert_int_equal(idle, 1);
    assert_int_equal(granted(pool, 920 * MS, MAIL).node, 3);
    clc_pool_free(pool);
}

static void weights_divide_what_is_short(void **state) {
    (void)state;
    clc_pool *pool = pool_of(4);
    clc_lease leases[4];
    size_t len;
    int mail = 0;
    announce(pool, WEB, 0, 0, 1);
    announce(pool, MAIL, 0, 0, 3);
    for (int i = 0; i < 4; i++) granted(pool, 0, WEB);
    for (int i = 0; i < 8; i++) {
        clc_pool_answer answer = request(pool, 0, MAIL);
        if (answer.kind != CLC_POOL_ANSWER_KIND_REVOKE) continue;
        assert_ok(clc_pool_release(pool, 0, answer.lease.node, answer.lease.token));
    }
    assert_int_equal(request(pool, 0, MAIL).refusal, CLC_REFUSAL_FAIR_SHARE);
    assert_ok(clc_pool_leases(pool, leases, 4, &len));
    for (size_t i = 0; i < len; i++) mail += leases[i].service == MAIL;
    assert_int_equal(len, 4);
    assert_int_equal(mail, 3);
    clc_pool_free(pool);
}

static void minima_are_kept_and_maxima_held(void **state) {
    (void)state;
    clc_pool *pool = pool_of(2);
    clc_share_options none = {.struct_size = sizeof none, .nodes_max = CLC_NONE};
    announce(pool, WEB, 0, 1, 1);
    announce(pool, MAIL, 1, 2, 1);
    granted(pool, 0, WEB);
    clc_pool_answer answer = request(pool, 0, WEB);
    assert_int_equal(answer.kind, CLC_POOL_ANSWER_KIND_REFUSED);
    assert_int_equal(answer.refusal, CLC_REFUSAL_AT_MAXIMUM);
    assert_int_equal(answer.held, 1);
    announce(pool, WEB, 0, 2, 1);
    answer = request(pool, 0, WEB);
    assert_int_equal(answer.refusal, CLC_REFUSAL_KEPT_FOR_MINIMA);
    assert_int_equal(answer.idle, 1);
    assert_int_equal(answer.lease.token, 0);
    granted(pool, 0, MAIL);
    assert_ok(clc_pool_add_service(pool, 9, &none));
    assert_int_equal(request(pool, 0, 9).refusal, CLC_REFUSAL_AT_MAXIMUM);
    clc_pool_free(pool);
}

static void shares_that_cannot_be_promised_are_refused(void **state) {
    (void)state;
    clc_pool *pool = pool_of(2);
    clc_share_options share;
    assert_ok(clc_share_options_init(&share, sizeof share));
    assert_int_equal(share.weight, 1);
    share.nodes_min = 3;
    share.nodes_max = 2;
    assert_fails(clc_pool_add_service(pool, WEB, &share), CLC_ERROR_BAD_CONFIGURATION, "nodes_min is 3");
    share.nodes_max = 4;
    assert_fails(clc_pool_add_service(pool, WEB, &share), CLC_ERROR_BAD_CONFIGURATION, "the pool has 2 nodes");
    share.nodes_min = 0;
    share.reserved = 1;
    assert_fails(clc_pool_add_service(pool, WEB, &share), CLC_ERROR_INVALID_ARGUMENT, "reserved is 1");
    assert_fails(clc_pool_remove_service(pool, WEB), CLC_ERROR_NO_SUCH_SERVICE, "no service 7");
    clc_pool_free(pool);
}

static void what_is_not_there_is_named(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_pool_answer answer = {.kind = 99};
    clc_renewal renewal;
    clc_lease lease = {.token = 7};
    uint32_t idle;
    assert_fails(clc_pool_add_node(pool, 0), CLC_ERROR_ALREADY_EXISTS, "a node 0 already");
    assert_fails(clc_pool_remove_node(pool, 5, &lease), CLC_ERROR_NO_SUCH_NODE, "no node 5");
    assert_int_equal(lease.token, 7);
    assert_fails(clc_pool_renew(pool, 0, 5, 1, &renewal), CLC_ERROR_NO_SUCH_NODE, "no node 5");
    assert_fails(clc_pool_release(pool, 0, 5, 1), CLC_ERROR_NO_SUCH_NODE, "no node 5");
    assert_fails(clc_pool_request(pool, 0, WEB, &answer), CLC_ERROR_NO_SUCH_SERVICE, "no service 7");
    assert_int_equal(answer.kind, 99);
    assert_fails(clc_pool_idle_for(pool, WEB, &idle), CLC_ERROR_NO_SUCH_SERVICE, "no service 7");
    assert_ok(clc_pool_add_service(pool, WEB, NULL));
    assert_ok(clc_pool_remove_service(pool, WEB));
    assert_fails(clc_pool_remove_service(pool, WEB), CLC_ERROR_NO_SUCH_SERVICE, "no service 7");
    clc_pool_free(pool);
}

static void a_node_that_dies_ends_its_lease(void **state) {
    (void)state;
    clc_pool *pool = pool_of(2);
    clc_lease ended = {.token = 99};
    clc_renewal renewal;
    announce(pool, WEB, 0, 0, 1);
    clc_lease lease = granted(pool, 0, WEB);
    assert_ok(clc_pool_remove_node(pool, 1, &ended));
    assert_int_equal(ended.token, 0);
    assert_ok(clc_pool_remove_node(pool, lease.node, &ended));
    assert_int_equal(ended.token, lease.token);
    assert_fails(clc_pool_renew(pool, 0, lease.node, lease.token, &renewal), CLC_ERROR_NO_SUCH_NODE, "no node 0");
    assert_ok(clc_pool_add_node(pool, lease.node));
    assert_int_equal(granted(pool, 0, WEB).token, lease.token + 1);
    assert_ok(clc_pool_remove_node(pool, lease.node, NULL));
    clc_pool_free(pool);
}

static void too_little_room_for_leases_changes_nothing(void **state) {
    (void)state;
    clc_pool *pool = pool_of(2);
    clc_lease leases[3] = {{.token = 7}, {.token = 7}, {.token = 7}};
    size_t len = 0;
    announce(pool, WEB, 0, 0, 1);
    granted(pool, 0, WEB);
    granted(pool, 0, WEB);
    assert_fails(clc_pool_leases(pool, leases, 1, &len), CLC_ERROR_BUFFER_TOO_SMALL, "there are 2");
    assert_int_equal(len, 2);
    len = 0;
    assert_fails(clc_pool_expire(pool, 9000 * MS, leases, 1, &len), CLC_ERROR_BUFFER_TOO_SMALL, "there are 2");
    assert_int_equal(len, 2);
    assert_int_equal(leases[0].token, 7);
    assert_ok(clc_pool_expire(pool, 9000 * MS, leases, 3, &len));
    assert_int_equal(len, 2);
    assert_int_equal(leases[1].node, 1);
    assert_int_equal(leases[2].token, 7);
    assert_ok(clc_pool_leases(pool, NULL, 0, &len));
    assert_int_equal(len, 0);
    clc_pool_free(pool);
}

static void time_does_not_go_back_and_has_an_end(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_renewal renewal;
    size_t len;
    announce(pool, WEB, 0, 0, 1);
    clc_lease lease = granted(pool, 5000 * MS, WEB);
    assert_ok(clc_pool_renew(pool, 0, 0, lease.token, &renewal));
    assert_int_equal(renewal.expires_ns, 6000 * MS);
    assert_ok(clc_pool_expire(pool, UINT64_MAX, &lease, 1, &len));
    assert_int_equal(len, 1);
    clc_pool_free(pool);
}

static void tokens_go_on_where_the_life_before_ended(void **state) {
    (void)state;
    clc_pool *pool = NULL;
    clc_pool_options options = {.struct_size = sizeof options, .token = 41};
    assert_ok(clc_pool_new(&options, &pool));
    assert_int_equal(clc_pool_token(pool), 41);
    assert_ok(clc_pool_add_node(pool, UINT32_MAX));
    assert_ok(clc_pool_add_service(pool, 0, NULL));
    assert_int_equal(granted(pool, 0, 0).token, 42);
    clc_pool_free(pool);
}

static void null_is_refused_by_every_function(void **state) {
    (void)state;
    clc_pool *pool = pool_of(1);
    clc_pool_answer answer;
    clc_renewal renewal;
    clc_lease lease;
    size_t len;
    uint32_t idle;
    uint64_t at_ns;
    assert_null_argument(clc_pool_new(NULL, NULL), "pool_out");
    assert_null_argument(clc_pool_options_init(NULL, sizeof(clc_pool_options)), "options");
    assert_null_argument(clc_share_options_init(NULL, sizeof(clc_share_options)), "options");
    assert_null_argument(clc_pool_add_node(NULL, 0), "pool");
    assert_null_argument(clc_pool_remove_node(NULL, 0, NULL), "pool");
    assert_null_argument(clc_pool_add_service(NULL, 0, NULL), "pool");
    assert_null_argument(clc_pool_remove_service(NULL, 0), "pool");
    assert_null_argument(clc_pool_request(NULL, 0, 0, &answer), "pool");
    assert_null_argument(clc_pool_request(pool, 0, 0, NULL), "answer_out");
    assert_null_argument(clc_pool_renew(NULL, 0, 0, 1, &renewal), "pool");
    assert_null_argument(clc_pool_renew(pool, 0, 0, 1, NULL), "renewal_out");
    assert_null_argument(clc_pool_release(NULL, 0, 0, 1), "pool");
    assert_null_argument(clc_pool_expire(NULL, 0, &lease, 1, &len), "pool");
    assert_null_argument(clc_pool_expire(pool, 0, NULL, 1, &len), "leases_out");
    assert_null_argument(clc_pool_expire(pool, 0, &lease, 1, NULL), "leases_len_out");
    assert_null_argument(clc_pool_leases(NULL, &lease, 1, &len), "pool");
    assert_null_argument(clc_pool_leases(pool, NULL, 1, &len), "leases_out");
    assert_null_argument(clc_pool_leases(pool, &lease, 1, NULL), "leases_len_out");
    assert_null_argument(clc_pool_idle_for(NULL, 0, &idle), "pool");
    assert_null_argument(clc_pool_idle_for(pool, 0, NULL), "nodes_out");
    assert_null_argument(clc_pool_next_expiry_ns(NULL, &at_ns), "pool");
    assert_null_argument(clc_pool_next_expiry_ns(pool, NULL), "at_ns_out");
    assert_int_equal(clc_pool_token(NULL), 0);
    clc_pool_free(NULL);
    clc_pool_free(pool);
}

static void options_of_another_size_are_refused(void **state) {
    (void)state;
    clc_pool *pool = pool_of(0), *none = NULL;
    clc_pool_options options = {0};
    clc_share_options share = {0};
    WRONG_SIZES(clc_pool_options, clc_pool_options_init(&options, size));
    WRONG_SIZES(clc_share_options, clc_share_options_init(&share, size));
    WRONG_SIZES(clc_pool_options, (options.struct_size = size, clc_pool_new(&options, &none)));
    WRONG_SIZES(clc_share_options, (share.struct_size = size, clc_pool_add_service(pool, WEB, &share)));
    assert_null(none);
    clc_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_renewed_and_given_back),
        cmocka_unit_test(a_node_goes_to_another_only_after_the_guard),
        cmocka_unit_test(a_former_holder_is_fenced),
        cmocka_unit_test(who_has_more_than_is_fair_gives_one_back),
        cmocka_unit_test(weights_divide_what_is_short),
        cmocka_unit_test(minima_are_kept_and_maxima_held),
        cmocka_unit_test(shares_that_cannot_be_promised_are_refused),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(a_node_that_dies_ends_its_lease),
        cmocka_unit_test(too_little_room_for_leases_changes_nothing),
        cmocka_unit_test(time_does_not_go_back_and_has_an_end),
        cmocka_unit_test(tokens_go_on_where_the_life_before_ended),
        cmocka_unit_test(null_is_refused_by_every_function),
        cmocka_unit_test(options_of_another_size_are_refused),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
