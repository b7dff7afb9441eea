/* The four calls on datagrams of "Operating Systems: Three Easy Pieces", chapter 48, over clustercore: programs written for its
 * `udp.h` compile with this header in its place.
 *
 * As there, nothing is promised: a datagram may be lost, come twice, or out of turn. Sockets are bound to every address of the
 * machine, and what is sent is neither protected nor checked. Each call returns -1 when it fails; clc_last_error_message() has the
 * words. What UDP_Open returns is a handle of the library, not a descriptor: use it with these calls only, on the thread that opened
 * it, and end it with UDP_Close. For messages that arrive, exactly once and in order, see clc_endpoint_open.
 */
#ifndef CLUSTERCORE_UDP_H
#define CLUSTERCORE_UDP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clustercore.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a socket on `port`; 0 lets the system choose. */
static inline int UDP_Open(int port) {
    if (port < 0 || port > 65535) return -1;
    int handle = clc_udp_open((uint16_t)port);
    return handle < 0 ? -1 : handle;
}

/* Fills in the address of a host; the first of its addresses of version 4. */
static inline int UDP_FillSockAddr(struct sockaddr_in *addr, char *hostname, int port) {
    clc_address found[64];
    clc_ip_port number;
    size_t len = 0;
    if (addr == NULL || port < 0 || port > 65535) return -1;
    if (clc_resolve(hostname, (uint16_t)port, found, 64, &len) < 0) return -1;
    for (size_t i = 0; i < len; i++) {
        if (clc_ip_port_parse(found[i].text, &number) < 0 || number.version != 4) continue;
        memset(addr, 0, sizeof *addr);
        addr->sin_family = AF_INET;
        addr->sin_port = htons(number.port);
        memcpy(&addr->sin_addr, number.ip, 4);
        return 0;
    }
    return -1;
}

/* Sends `n` bytes as one datagram; returns n. */
static inline int UDP_Write(int fd, struct sockaddr_in *addr, char *buffer, int n) {
    clc_ip_port to;
    clc_bytes payload;
    if (addr == NULL || n < 0) return -1;
    memset(&to, 0, sizeof to);
    to.version = 4;
    to.port = ntohs(addr->sin_port);
    memcpy(to.ip, &addr->sin_addr, 4);
    payload.data = (const uint8_t *)buffer;
    payload.len = (size_t)n;
    return clc_udp_write(fd, &to, payload) < 0 ? -1 : n;
}

/* Waits for a datagram of at most `n` bytes, the rest is cut off; returns its length. `addr` gets the sender. */
static inline int UDP_Read(int fd, struct sockaddr_in *addr, char *buffer, int n) {
    clc_ip_port from;
    size_t len = 0;
    if (n < 0 || clc_udp_read(fd, &from, (uint8_t *)buffer, (size_t)n, &len) < 0) return -1;
    if (addr != NULL) {
        memset(addr, 0, sizeof *addr);
        addr->sin_family = AF_INET;
        addr->sin_port = htons(from.port);
        memcpy(&addr->sin_addr, from.ip, 4);
    }
    return (int)len;
}

/* Ends a handle; the chapter leaves that to the end of the program. */
static inline int UDP_Close(int fd) { return clc_udp_close(fd) < 0 ? -1 : 0; }

#ifdef __cplusplus
}
#endif

#endif /* CLUSTERCORE_UDP_H */
