/* Says things to the plugin, without a server: clock, store and bus are the test's. What else there
 * is to call: chatup/test.h. */
#include <chatup/test.h>
#include <stdio.h>
#include <string.h>

static int failed;

static void expect(int is_so, const char *what)
{
    printf("%s  %s\n", is_so ? "ok    " : "FAILED", what);
    failed += !is_so;
}

int main(int argc, char **argv)
{
    char why[512];
    const char *so = argc > 1 ? argv[1] : "./@NAME@.so";
    struct chatup_test *test = chatup_test_open(so, "{word: please}", 2, why, sizeof why);
    if (!test) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    const struct chatup_test_said *good =
        chatup_test_say(test, 0, "lobby", "u1", "Ann", "tea, please");
    const struct chatup_test_said *bad = chatup_test_say(test, 1, "lobby", "u2", "Bob", "tea");
    chatup_test_run(test);
    expect(good->verdict == CHATUP_ACCEPT, "a message with the word is accepted");
    expect(bad->verdict == CHATUP_REJECT, "one without it is rejected");
    expect(bad->reply && strstr(bad->reply, "sayPlease"), "and its sender is told why");
    chatup_test_stop(test);
    expect(!chatup_test_mistakes(test), "the plugin did nothing that it must not do");
    chatup_test_close(test);

    expect(!chatup_test_open(so, "{word: ''}", 1, why, sizeof why), "an empty word is refused");
    return failed > 0;
}
