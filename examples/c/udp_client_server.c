/* The client and the server of "Operating Systems: Three Easy Pieces", chapter 48, with the calls of its `udp.h`.
 *
 *     udp_client_server server 10000        udp_client_server client localhost 10000
 *
 * Without arguments: both, the server as a process of its own, which ends after one message.
 */
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clustercore_udp.h"

#define BUFFER_SIZE 1000

static int server(int port, int rounds, int ready) {
    int sd = UDP_Open(port);
    if (sd < 0) return 1;
    if (ready >= 0 && write(ready, "", 1) != 1) return 1;
    while (rounds != 0) {
        struct sockaddr_in addr;
        char message[BUFFER_SIZE];
        int rc = UDP_Read(sd, &addr, message, BUFFER_SIZE);
        if (rc > 0) {
            char reply[BUFFER_SIZE] = {0};
            printf("server: got %d bytes: %.*s\n", rc, rc, message);
            fflush(stdout);
            snprintf(reply, sizeof reply, "reply");
            rc = UDP_Write(sd, &addr, reply, BUFFER_SIZE);
        }
        if (rc < 0) return 1;
        if (rounds > 0) rounds -= 1;
    }
    return 0;
}

static int client(char *host, int port) {
    struct sockaddr_in addr, addr2;
    char message[BUFFER_SIZE] = {0};
    int sd = UDP_Open(0);
    int rc = UDP_FillSockAddr(&addr, host, port);
    if (sd < 0 || rc < 0) return 1;
    snprintf(message, sizeof message, "hello world");
    rc = UDP_Write(sd, &addr, message, BUFFER_SIZE);
    if (rc > 0) {
        rc = UDP_Read(sd, &addr2, message, BUFFER_SIZE);
        if (rc > 0) printf("client: got %d bytes: %.*s\n", rc, rc, message);
    }
    return rc > 0 ? 0 : 1;
}

/* A port that is free now. */
static int free_port(void) {
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0) return -1;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0) return -1;
    close(fd);
    return ntohs(addr.sin_port);
}

static int both(void) {
    int ready[2], status = 1, port = free_port();
    char byte, host[] = "localhost";
    if (port < 0 || pipe(ready) < 0) return 1;
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        _exit(server(port, 1, ready[1]));
    }
    close(ready[1]);
    /* Datagrams to a server that is not there yet would be lost. */
    int failed = read(ready[0], &byte, 1) == 1 ? client(host, port) : 1;
    if (waitpid(child, &status, 0) != child) return 1;
    return failed || status != 0;
}

int main(int argc, char **argv) {
    int failed;
    if (argc == 3 && strcmp(argv[1], "server") == 0) {
        failed = server(atoi(argv[2]), -1, -1);
    } else if (argc == 4 && strcmp(argv[1], "client") == 0) {
        failed = client(argv[2], atoi(argv[3]));
    } else {
        failed = both();
    }
    if (failed) fprintf(stderr, "udp: %s\n", clc_last_error_message());
    return failed;
}
