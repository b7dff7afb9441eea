/* Statuses, the words to them, versions, counters as a table, the probe. */
#include "support.h"

static void every_registered_status_has_its_words(void **state) {
    (void)state;
    int count = 0;
#define CHECK(name, status, retryable, message)                                      \
    assert_string_equal(clc_status_name(status), #name);                             \
    assert_string_equal(clc_status_message(status), message);                        \
    assert_int_equal(clc_status_is_retryable(status), retryable);                    \
    count++;
    CLC_ERRORS(CHECK)
#undef CHECK
    assert_true(count > 40);
    assert_string_equal(clc_status_name(CLC_OK), "OK");
    assert_string_equal(clc_status_name(1), "UNKNOWN");
    assert_string_equal(clc_status_name(INT32_MIN), "UNKNOWN");
    assert_string_equal(clc_status_message(-999), "not a status of clustercore");
    assert_int_equal(clc_status_is_retryable(INT32_MIN), 0);
}

static void *fail_elsewhere(void *argument) {
    (void)argument;
    assert_string_equal(clc_last_error_message(), "");
    assert_int_equal(clc_last_error_status(), CLC_OK);
    assert_int_equal(clc_shard_fd(NULL), CLC_ERROR_NULL_ARGUMENT);
    assert_string_equal(clc_last_error_message(), "shard is NULL");
    return NULL;
}

static void the_last_error_is_the_threads_own(void **state) {
    (void)state;
    pthread_t thread;
    assert_null_argument(clc_node_event_fd(NULL), "node");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(clc_last_error_message(), "node is NULL");
    assert_int_equal(clc_last_error_status(), CLC_ERROR_NULL_ARGUMENT);
}

static void printed(clc_status status, char *line, size_t capacity) {
    FILE *stream = fmemopen(line, capacity, "w");
    assert_non_null(stream);
    clc_print_error(stream, status);
    fclose(stream);
}

static void an_error_is_printed_in_the_words_of_the_moment(void **state) {
    (void)state;
    char line[256] = "";
    assert_null_argument(clc_node_event_fd(NULL), "node");
    printed(CLC_ERROR_NULL_ARGUMENT, line, sizeof line);
    assert_string_equal(line, "clustercore: node is NULL (NULL_ARGUMENT, -2)\n");
    printed(CLC_ERROR_QUEUE_FULL, line, sizeof line);
    assert_string_equal(line, "clustercore: the queue is full (QUEUE_FULL, -20)\n");
    clc_print_error(NULL, CLC_ERROR_QUEUE_FULL);
}

static void the_library_is_the_one_of_the_header(void **state) {
    (void)state;
    assert_int_equal(clc_abi_version(), CLC_ABI_VERSION);
    assert_true(strchr(clc_version(), '.') != NULL);
}

static void counters_are_a_table(void **state) {
    (void)state;
    assert_string_equal(clc_counter_label(CLC_COUNTER_REQUESTS), "requests");
    assert_string_equal(clc_counter_unit(CLC_COUNTER_BYTES_TO_CLIENT), "bytes");
    assert_true(clc_counter_count() > CLC_COUNTER_TUNNELS);
    for (uint32_t i = 0; i < clc_counter_count(); i++) {
        assert_true(strlen(clc_counter_label(i)) > 0);
        assert_true(strlen(clc_counter_unit(i)) > 0);
        assert_true(strlen(clc_counter_help(i)) > 0);
    }
    assert_null(clc_counter_label((uint32_t)clc_counter_count()));
    assert_null(clc_counter_unit(UINT32_MAX));
    assert_null(clc_counter_help(UINT32_MAX));
}

static void the_probe_names_kernel_and_driver(void **state) {
    (void)state;
    char text[1024] = "";
    assert_ok(clc_probe(text, sizeof text));
    assert_true(strncmp(text, "kernel ", 7) == 0);
    assert_non_null(strstr(text, "\ndriver "));
    char small[8] = "before";
    assert_fails(clc_probe(small, sizeof small), CLC_ERROR_BUFFER_TOO_SMALL, "has room for 8 bytes");
    assert_string_equal(small, "before");
    assert_null_argument(clc_probe(NULL, 0), "text_out");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_registered_status_has_its_words),
        cmocka_unit_test(the_last_error_is_the_threads_own),
        cmocka_unit_test(an_error_is_printed_in_the_words_of_the_moment),
        cmocka_unit_test(the_library_is_the_one_of_the_header),
        cmocka_unit_test(counters_are_a_table),
        cmocka_unit_test(the_probe_names_kernel_and_driver),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
