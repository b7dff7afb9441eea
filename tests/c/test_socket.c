/* Plain datagrams: sockets of a shard, addresses, and the four calls of clustercore_udp.h. */
#include "support.h"

#include "clustercore_udp.h"

struct fixture {
    clc_shard *shard;
    clc_socket *one, *two;
    clc_ip_port to;
};

static int set_up_with(void **state, uint32_t driver) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    clc_shard_options options;
    clc_address address;
    assert_ok(clc_shard_options_init(&options, sizeof options));
    options.driver = driver;
    *state = fixture;
    int status = clc_shard_new(&options, &fixture->shard);
    if (status < 0) {
        /* Only where this machine forbids it; everything else is a failure. */
        assert_int_equal(driver, CLC_DRIVER_URING);
        assert_true(status == CLC_ERROR_IO_URING_FORBIDDEN || status == CLC_ERROR_UNSUPPORTED_KERNEL);
        fixture->shard = NULL;
        return 0;
    }
    assert_ok(clc_socket_bind(fixture->shard, "127.0.0.1:0", NULL, &fixture->one));
    assert_ok(clc_socket_bind(fixture->shard, "127.0.0.1:0", NULL, &fixture->two));
    assert_ok(clc_socket_address(fixture->two, &address));
    assert_ok(clc_ip_port_parse(address.text, &fixture->to));
    assert_int_equal(fixture->to.port, address.port);
    assert_ok(clc_shard_turn(fixture->shard));
    return 0;
}

static int set_up_uring(void **state) { return set_up_with(state, CLC_DRIVER_URING); }
static int set_up_epoll(void **state) { return set_up_with(state, CLC_DRIVER_EPOLL); }

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    clc_socket_free(fixture->one);
    clc_shard_free(fixture->shard);
    clc_socket_free(fixture->two); /* in any order */
    free(fixture);
    return 0;
}

#define FIXTURE(state)                  \
    struct fixture *fixture = *(state); \
    if (fixture->shard == NULL) skip()

static clc_bytes bytes_of(const void *data, size_t len) { return (clc_bytes){.data = data, .len = len}; }

static void datagrams_come_as_they_were_sent(void **state) {
    FIXTURE(state);
    uint8_t bytes[250], got[4][128];
    size_t lens[4], count = 0;
    clc_datagram_counters counters;
    clc_address sender, from;
    int64_t end = now_ns() + 10 * SECOND_NS;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    assert_ok(clc_socket_send(fixture->one, &fixture->to, bytes_of(bytes, sizeof bytes), 100));
    assert_ok(clc_socket_send(fixture->one, &fixture->to, bytes_of(NULL, 0), 0));
    assert_ok(clc_socket_address(fixture->one, &sender));
    while (count < 4) {
        clc_datagram datagrams[2];
        size_t len = 2;
        assert_true(now_ns() < end);
        assert_ok(clc_shard_turn_for(fixture->shard, SECOND_NS / 100));
        while (len == 2) {
            assert_ok(clc_shard_datagrams(fixture->shard, datagrams, 2, &len));
            for (size_t i = 0; i < len; i++) {
                assert_true(count < 4 && datagrams[i].payload.len <= 128);
                assert_int_equal(datagrams[i].socket, clc_socket_id(fixture->two));
                assert_ok(clc_ip_port_format(&datagrams[i].from, &from));
                assert_string_equal(from.text, sender.text);
                lens[count] = datagrams[i].payload.len;
                if (lens[count] > 0) memcpy(got[count], datagrams[i].payload.data, lens[count]);
                count += 1;
            }
        }
    }
    assert_int_equal(lens[0], 100);
    assert_int_equal(lens[1], 100);
    assert_int_equal(lens[2], 50);
    assert_int_equal(lens[3], 0);
    assert_memory_equal(got[1], bytes + 100, 100);
    assert_memory_equal(got[2], bytes + 200, 50);
    assert_ok(clc_socket_counters(fixture->two, &counters));
    assert_int_equal(counters.datagrams_received, 4);
}

static void what_cannot_be_is_refused(void **state) {
    FIXTURE(state);
    static uint8_t bytes[70000];
    clc_ip_port nowhere = {0};
    clc_socket *socket;
    clc_socket_options options = {0};
    clc_datagram_counters counters;
    clc_datagram datagram;
    clc_address address;
    size_t len;
    assert_fails(clc_socket_send(fixture->one, &nowhere, bytes_of(bytes, 1), 0), CLC_ERROR_BAD_ADDRESS, "IP version 0");
    assert_fails(clc_socket_send(fixture->one, &fixture->to, bytes_of(bytes, 66000), 0), CLC_ERROR_TOO_LARGE, "66000");
    assert_fails(clc_socket_bind(fixture->shard, "localhost:1", NULL, &socket), CLC_ERROR_BAD_ADDRESS, "address is");
    assert_ok(clc_socket_address(fixture->one, &address));
    assert_int_equal(clc_socket_bind(fixture->shard, address.text, NULL, &socket), CLC_ERROR_ADDRESS_IN_USE);
    assert_null_argument(clc_socket_bind(NULL, "127.0.0.1:0", NULL, &socket), "shard");
    assert_null_argument(clc_socket_bind(fixture->shard, NULL, NULL, &socket), "address");
    assert_null_argument(clc_socket_bind(fixture->shard, "127.0.0.1:0", NULL, NULL), "socket_out");
    assert_null_argument(clc_socket_send(NULL, &fixture->to, bytes_of(bytes, 1), 0), "socket");
    assert_null_argument(clc_socket_send(fixture->one, NULL, bytes_of(bytes, 1), 0), "to");
    assert_null_argument(clc_socket_send(fixture->one, &fixture->to, bytes_of(NULL, 1), 0), "bytes");
    assert_null_argument(clc_socket_address(NULL, &address), "socket");
    assert_null_argument(clc_socket_address(fixture->one, NULL), "address_out");
    assert_null_argument(clc_socket_counters(NULL, &counters), "socket");
    assert_null_argument(clc_socket_counters(fixture->one, NULL), "counters_out");
    assert_null_argument(clc_socket_close(NULL), "socket");
    assert_int_equal(clc_socket_id(NULL), 0);
    assert_null_argument(clc_shard_datagrams(NULL, &datagram, 1, &len), "shard");
    assert_null_argument(clc_shard_datagrams(fixture->shard, NULL, 1, &len), "datagrams_out");
    assert_null_argument(clc_shard_datagrams(fixture->shard, &datagram, 1, NULL), "datagrams_len_out");
    assert_null_argument(clc_socket_options_init(NULL, sizeof options), "options");
    WRONG_SIZES(clc_socket_options, clc_socket_options_init(&options, size));
    WRONG_SIZES(clc_socket_options,
                (options.struct_size = size, clc_socket_bind(fixture->shard, "127.0.0.1:0", &options, &socket)));
}

static void *send_from_elsewhere(void *argument) {
    struct fixture *fixture = argument;
    clc_socket *socket;
    clc_address address;
    clc_datagram_counters counters;
    static const int wrong = CLC_ERROR_WRONG_THREAD;
    uintptr_t failures = 0;
    failures += clc_socket_send(fixture->one, &fixture->to, bytes_of("x", 1), 0) != wrong;
    failures += clc_socket_bind(fixture->shard, "127.0.0.1:0", NULL, &socket) != wrong;
    failures += clc_socket_address(fixture->one, &address) != wrong;
    failures += clc_socket_counters(fixture->one, &counters) != wrong;
    failures += clc_socket_close(fixture->one) != wrong;
    return (void *)failures;
}

static void another_thread_is_refused(void **state) {
    FIXTURE(state);
    pthread_t thread;
    void *failures = NULL;
    assert_int_equal(pthread_create(&thread, NULL, send_from_elsewhere, fixture), 0);
    pthread_join(thread, &failures);
    assert_int_equal((uintptr_t)failures, 0);
}

static void a_closed_socket_and_a_freed_shard_say_so(void **state) {
    FIXTURE(state);
    clc_address address;
    assert_ok(clc_socket_close(fixture->one));
    assert_fails(clc_socket_close(fixture->one), CLC_ERROR_NO_SUCH_SOCKET, "there is no datagram socket");
    assert_int_equal(clc_socket_send(fixture->one, &fixture->to, bytes_of("x", 1), 0), CLC_ERROR_NO_SUCH_SOCKET);
    clc_shard_free(fixture->shard);
    assert_fails(clc_socket_address(fixture->two, &address), CLC_ERROR_CLOSED, "the shard was freed");
    assert_int_equal(clc_socket_send(fixture->two, &fixture->to, bytes_of("x", 1), 0), CLC_ERROR_CLOSED);
    assert_int_equal(clc_socket_close(fixture->two), CLC_ERROR_CLOSED);
    fixture->shard = NULL;
}

static void names_are_looked_up(void **state) {
    (void)state;
    clc_address found[8];
    clc_ip_port number;
    size_t len = 0;
    assert_ok(clc_resolve("localhost", 4711, found, 8, &len));
    assert_in_range(len, 1, 8);
    assert_int_equal(found[0].port, 4711);
    assert_ok(clc_ip_port_parse(found[0].text, &number));
    assert_fails(clc_resolve("127.0.0.1", 1, found, 0, &len), CLC_ERROR_BUFFER_TOO_SMALL, "has room for 0 addresses");
    assert_int_equal(len, 1);
    assert_fails(clc_resolve("no such host", 1, found, 8, &len), CLC_ERROR_UNREACHABLE, "\"no such host\" has no address");
    assert_null_argument(clc_resolve(NULL, 1, found, 8, &len), "host");
    assert_null_argument(clc_resolve("127.0.0.1", 1, NULL, 8, &len), "addresses_out");
    assert_null_argument(clc_resolve("127.0.0.1", 1, found, 8, NULL), "addresses_len_out");
    assert_null_argument(clc_ip_port_parse(NULL, &number), "text");
    assert_null_argument(clc_ip_port_parse("127.0.0.1:1", NULL), "ip_port_out");
    assert_fails(clc_ip_port_parse("127.0.0.1", &number), CLC_ERROR_BAD_ADDRESS, "text is");
    assert_null_argument(clc_ip_port_format(NULL, found), "ip_port");
    assert_null_argument(clc_ip_port_format(&number, NULL), "address_out");
}

static void *use_handle(void *argument) {
    char bytes[8];
    return (void *)(uintptr_t)(UDP_Read(*(int *)argument, NULL, bytes, 8) == -1 &&
                               clc_last_error_status() == CLC_ERROR_WRONG_THREAD);
}

static void the_four_calls_send_and_answer(void **state) {
    (void)state;
    struct sockaddr_in address, from, bound = {.sin_family = AF_INET};
    socklen_t len = sizeof bound;
    char buffer[64], name[] = "localhost", wrong[] = "no such host";
    pthread_t thread;
    void *was_refused = NULL;
    /* A port that was free a moment ago. */
    int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&bound, len), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&bound, &len), 0);
    close(probe);
    int server = UDP_Open(ntohs(bound.sin_port)), client = UDP_Open(0);
    assert_true(server >= 0 && client >= 0 && server != client);
    assert_int_equal(UDP_Open(ntohs(bound.sin_port)), -1);
    assert_int_equal(clc_last_error_status(), CLC_ERROR_ADDRESS_IN_USE);
    assert_int_equal(UDP_FillSockAddr(&address, name, ntohs(bound.sin_port)), 0);
    assert_int_equal(UDP_FillSockAddr(&address, wrong, 1), -1);
    assert_int_equal(UDP_Write(client, &address, "hello", 5), 5);
    assert_int_equal(UDP_Write(client, &address, "a longer one", 12), 12);
    assert_int_equal(UDP_Read(server, &from, buffer, sizeof buffer), 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(UDP_Write(server, &from, "reply", 5), 5);
    assert_int_equal(UDP_Read(client, NULL, buffer, sizeof buffer), 5);
    assert_memory_equal(buffer, "reply", 5);
    assert_int_equal(UDP_Read(server, &from, buffer, 8), 8); /* the rest is cut off */
    assert_memory_equal(buffer, "a longer", 8);
    assert_int_equal(pthread_create(&thread, NULL, use_handle, &server), 0);
    pthread_join(thread, &was_refused);
    assert_non_null(was_refused);
    assert_int_equal(UDP_Close(server), 0);
    assert_int_equal(UDP_Close(client), 0);
    assert_int_equal(UDP_Close(client), -1);
    assert_int_equal(clc_last_error_status(), CLC_ERROR_NO_SUCH_SOCKET);
    assert_int_equal(UDP_Write(client, &address, "x", 1), -1);
    assert_int_equal(UDP_Read(-1, &from, buffer, 8), -1);
    assert_null_argument(clc_udp_write(0, NULL, bytes_of("x", 1)), "to");
    assert_null_argument(clc_udp_read(0, NULL, NULL, 1, &(size_t){0}), "buffer_out");
    assert_null_argument(clc_udp_read(0, NULL, (uint8_t *)buffer, 1, NULL), "len_out");
    assert_int_equal(UDP_Open(-1), -1);
    assert_int_equal(UDP_Open(65536), -1);
    assert_int_equal(UDP_Write(0, NULL, "x", 1), -1);
    assert_int_equal(UDP_FillSockAddr(NULL, name, 1), -1);
}

static void a_child_of_fork_leaves_a_handle_alone(void **state) {
    (void)state;
    char byte;
    clc_ip_port to = {.version = 4, .ip = {127, 0, 0, 1}, .port = 9};
    int handle = UDP_Open(0), status = -1;
    assert_true(handle >= 0);
    pid_t child = fork();
    if (child == 0) {
        int failures = clc_udp_write(handle, &to, bytes_of("x", 1)) != CLC_ERROR_FORKED;
        failures += clc_udp_read(handle, NULL, (uint8_t *)&byte, 1, &(size_t){0}) != CLC_ERROR_FORKED;
        failures += clc_udp_close(handle) != CLC_ERROR_FORKED;
        _exit(failures);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(clc_udp_write(handle, &to, bytes_of("x", 1)));
    assert_ok(clc_udp_close(handle));
}

#define ON(driver, test) {#test " on " #driver, test, set_up_##driver, tear_down, NULL}
#define ON_BOTH(test) ON(uring, test), ON(epoll, test)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(datagrams_come_as_they_were_sent),
        ON(epoll, what_cannot_be_is_refused),
        ON_BOTH(another_thread_is_refused),
        ON_BOTH(a_closed_socket_and_a_freed_shard_say_so),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(the_four_calls_send_and_answer),
        cmocka_unit_test(a_child_of_fork_leaves_a_handle_alone),
    };
    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
