/* A peer of calls: ONC RPC over UDP (libtirpc), 32 bytes there and back, one call at a time, as RFC 5531 has it.
 *
 * onc_echo SECONDS: a server process and a client in this one; prints a JSON line. */
#include <rpc/rpc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM 0x20007e57
#define VERSION 1
#define ECHO 1
#define BYTES 32
#define CALLS_MAX 4000000

static bool_t xdr_payload(XDR *xdrs, char *payload) { return xdr_opaque(xdrs, payload, BYTES); }

static void dispatch(struct svc_req *request, SVCXPRT *transport) {
    char payload[BYTES];
    if (request->rq_proc == NULLPROC) {
        svc_sendreply(transport, (xdrproc_t)xdr_void, NULL);
    } else if (!svc_getargs(transport, (xdrproc_t)xdr_payload, payload)) {
        svcerr_decode(transport);
    } else {
        svc_sendreply(transport, (xdrproc_t)xdr_payload, payload);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_value(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
    double limit = argc > 1 ? atof(argv[1]) : 1.0;
    int port[2];
    if (pipe(port) != 0) return 1;
    pid_t server = fork();
    if (server == 0) {
        SVCXPRT *transport = svcudp_create(RPC_ANYSOCK);
        if (transport == NULL || !svc_register(transport, PROGRAM, VERSION, dispatch, 0)) exit(1);
        if (write(port[1], &transport->xp_port, sizeof transport->xp_port) < 0) exit(1);
        alarm((unsigned)limit + 20);
        svc_run();
        exit(1);
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    u_short number;
    if (read(port[0], &number, sizeof number) != sizeof number) return 1;
    to.sin_port = htons(number);
    int socket = RPC_ANYSOCK;
    CLIENT *client = clntudp_create(&to, PROGRAM, VERSION, (struct timeval){1, 0}, &socket);
    double *taken = malloc(CALLS_MAX * sizeof *taken);
    if (client == NULL || taken == NULL) return 1;
    size_t calls = 0;
    char sent[BYTES] = "what goes there comes back", back[BYTES];
    double start = seconds(), now = start;
    while (now - start < limit && calls < CALLS_MAX) {
        struct timeval patience = {5, 0};
        if (clnt_call(client, ECHO, (xdrproc_t)xdr_payload, sent, (xdrproc_t)xdr_payload, back, patience) != RPC_SUCCESS ||
            memcmp(sent, back, BYTES) != 0) {
            clnt_perror(client, "call");
            kill(server, SIGKILL);
            return 1;
        }
        double before = now;
        now = seconds();
        taken[calls++] = now - before;
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(taken, calls, sizeof *taken, by_value);
    printf("{\"calls_per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"server_cpu_ns\": %.0f}\n",
           (double)calls / (now - start), taken[calls / 2] * 1e6, taken[calls * 99 / 100] * 1e6, cpu * 1e9 / (double)calls);
    return 0;
}
