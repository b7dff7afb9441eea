/* An unmodified server from Debian behind a forwarder: two instances of lighttpd, each with a page of its own.
 *
 *     forward_lighttpd [PATH OF LIGHTTPD]
 */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "demo.h"

struct instance {
    const char *name;
    pid_t pid;
    char directory[64];
    char address[32];
    uint16_t port;
};

/* A port that is free now; lighttpd has no way to let the system choose and tell. */
static uint16_t free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0 || bind(probe, (struct sockaddr *)&address, len) < 0 ||
        getsockname(probe, (struct sockaddr *)&address, &len) < 0) {
        perror("free_port");
        exit(1);
    }
    close(probe);
    return ntohs(address.sin_port);
}

static void write_file(const struct instance *instance, const char *file, const char *content) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", instance->directory, file);
    FILE *stream = fopen(path, "w");
    if (stream == NULL || fputs(content, stream) < 0 || fclose(stream) != 0) {
        perror(path);
        exit(1);
    }
}

static void remove_file(const struct instance *instance, const char *file) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", instance->directory, file);
    unlink(path);
}

static void instance_stop(struct instance *instance) {
    kill(instance->pid, SIGTERM);
    waitpid(instance->pid, NULL, 0);
    remove_file(instance, "index.html");
    remove_file(instance, "lighttpd.conf");
    rmdir(instance->directory);
}

static void instance_start(struct instance *instance, const char *name, const char *program) {
    char config[512], path[128];
    instance->name = name;
    instance->port = free_port();
    snprintf(instance->address, sizeof instance->address, "127.0.0.1:%d", instance->port);
    strcpy(instance->directory, "/tmp/clustercore-example-XXXXXX");
    if (mkdtemp(instance->directory) == NULL) {
        perror("mkdtemp");
        exit(1);
    }
    snprintf(config, sizeof config,
             "server.document-root = \"%s\"\nserver.bind = \"127.0.0.1\"\nserver.port = %d\n"
             "index-file.names = (\"index.html\")\nmimetype.assign = (\".html\" => \"text/html\")\n",
             instance->directory, instance->port);
    write_file(instance, "lighttpd.conf", config);
    write_file(instance, "index.html", name);
    snprintf(path, sizeof path, "%s/lighttpd.conf", instance->directory);

    instance->pid = fork();
    if (instance->pid == 0) {
        execl(program, program, "-D", "-f", path, (char *)NULL);
        _exit(127);
    }
    for (int tries = 0; tries < 500; tries++) {
        int client = client_connect(instance->port);
        if (client >= 0) {
            close(client);
            return;
        }
        if (waitpid(instance->pid, NULL, WNOHANG) != 0) break;
        usleep(10000);
    }
    fprintf(stderr, "%s does not answer; is lighttpd installed?\n", program);
    exit(1);
}

int main(int argc, char **argv) {
    const char *program = argc > 1 ? argv[1] : "/usr/sbin/lighttpd";
    struct instance instances[2];
    clc_shard_options shard;
    clc_node_options node_options;
    clc_node *node;
    clc_forwarder *forwarder;
    clc_forwarder_options options;
    clc_address address;
    clc_backend_status backends[2];
    size_t backends_len = 0;
    char answer[4096];
    instance_start(&instances[0], "first lighttpd", program);
    instance_start(&instances[1], "second lighttpd", program);

    check(clc_shard_options_init(&shard, sizeof shard));
    shard.driver = node_driver();
    check(clc_node_options_init(&node_options, sizeof node_options));
    node_options.shard = &shard;
    check(clc_node_new(&node_options, &node));
    check(clc_forwarder_options_init(&options, sizeof options));
    options.policy = CLC_POLICY_ROUND_ROBIN;
    options.slow_start_ns = 1;
    check(clc_node_add_forwarder(node, &options, &forwarder));
    for (int i = 0; i < 2; i++) {
        clc_backend_options backend;
        check(clc_backend_options_init(&backend, sizeof backend));
        backend.address = instances[i].address;
        backend.name = instances[i].name;
        check(clc_forwarder_add_backend(forwarder, &backend, NULL));
    }
    check(clc_forwarder_listen(forwarder, "127.0.0.1:0", &address));
    for (int i = 0; i < 4; i++) printf("%s\n", client_get(address.port, answer, sizeof answer));

    check(clc_forwarder_backends(forwarder, backends, 2, &backends_len));
    for (size_t i = 0; i < backends_len; i++) {
        printf("%s: %llu requests, %llu failures\n", backends[i].name, (unsigned long long)backends[i].requests,
               (unsigned long long)backends[i].failures);
    }
    clc_forwarder_free(forwarder);
    clc_node_free(node);
    instance_stop(&instances[0]);
    instance_stop(&instances[1]);
    return 0;
}
