/* Keys of endpoints in secure mode: made, saved, loaded, refused. */
#include "support.h"

#include <sys/stat.h>

static char folder[] = "/tmp/clustercore-key-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(in_folder("key"));
    unlink(in_folder("other"));
    return rmdir(folder);
}

static void a_key_is_made_saved_and_loaded(void **state) {
    (void)state;
    char key[CLC_KEY_TEXT_BYTES], again[CLC_KEY_TEXT_BYTES], public_key[CLC_KEY_TEXT_BYTES];
    struct stat found;
    assert_ok(clc_key_generate(key, sizeof key));
    assert_memory_equal(key, "clc-private-x25519 ", 19);
    assert_ok(clc_key_generate(again, sizeof again));
    assert_string_not_equal(key, again);
    assert_ok(clc_key_public(key, public_key, sizeof public_key));
    assert_memory_equal(public_key, "clc-public-x25519 ", 18);
    assert_ok(clc_key_check_public(public_key));
    assert_ok(clc_key_save(key, in_folder("key")));
    assert_int_equal(stat(in_folder("key"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_ok(clc_key_load(in_folder("key"), again, sizeof again));
    assert_string_equal(key, again);
    assert_fails(clc_key_save(key, in_folder("key")), CLC_ERROR_FILE_EXISTS, "exists and stays as it is");
}

static void a_key_that_others_can_read_is_refused(void **state) {
    (void)state;
    char key[CLC_KEY_TEXT_BYTES];
    assert_ok(clc_key_generate(key, sizeof key));
    assert_ok(clc_key_save(key, in_folder("other")));
    assert_int_equal(chmod(in_folder("other"), 0644), 0);
    assert_fails(clc_key_load(in_folder("other"), key, sizeof key), CLC_ERROR_KEY_EXPOSED, "run: chmod 600 ");
    assert_int_equal(chmod(in_folder("other"), 0600), 0);
    assert_ok(clc_key_load(in_folder("other"), key, sizeof key));
    assert_fails(clc_key_load(in_folder("none"), key, sizeof key), CLC_ERROR_IO, "read /tmp/");
}

static void what_is_no_key_is_refused(void **state) {
    (void)state;
    char key[CLC_KEY_TEXT_BYTES], public_key[CLC_KEY_TEXT_BYTES], small[20] = "untouched";
    assert_ok(clc_key_generate(key, sizeof key));
    assert_ok(clc_key_public(key, public_key, sizeof public_key));
    assert_fails(clc_key_public(public_key, key, sizeof key), CLC_ERROR_BAD_KEY, "this is a public key");
    assert_fails(clc_key_check_public(key), CLC_ERROR_BAD_KEY, "this is a private key");
    assert_fails(clc_key_check_public("clc-public-x25519 AAAA"), CLC_ERROR_BAD_KEY, "base64 of 32 bytes");
    assert_fails(clc_key_save("key", in_folder("none")), CLC_ERROR_BAD_KEY, "this is no private key");
    assert_fails(clc_key_generate(small, sizeof small), CLC_ERROR_BUFFER_TOO_SMALL, "has room for 20 bytes");
    assert_string_equal(small, "untouched");
}

static void null_is_refused(void **state) {
    (void)state;
    char key[CLC_KEY_TEXT_BYTES];
    assert_ok(clc_key_generate(key, sizeof key));
    assert_null_argument(clc_key_generate(NULL, 64), "private_out");
    assert_null_argument(clc_key_public(NULL, key, sizeof key), "private_key");
    assert_null_argument(clc_key_public(key, NULL, 64), "public_out");
    assert_null_argument(clc_key_check_public(NULL), "public_key");
    assert_null_argument(clc_key_save(NULL, "/tmp/x"), "private_key");
    assert_null_argument(clc_key_save(key, NULL), "path");
    assert_null_argument(clc_key_load(NULL, key, sizeof key), "path");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_made_saved_and_loaded),
        cmocka_unit_test(a_key_that_others_can_read_is_refused),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(null_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
