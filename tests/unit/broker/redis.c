/* What is about Redis and how it is used: keys, what is lost on the way, what comes back. */
#include "home.h"

/* ---- names ---- */

START_TEST(no_two_rooms_share_a_key)
{
    static const char *const parts[] = {"meta",  "history", "said",  "readers",
                                        "order", "members", "users", "crowd"};
    char name[64];
    struct home *home = home_open(DURABILITY_COMMIT);
    ck_assert_int_eq(say(home, 0, "room", "alice", "hi", "first").status, BROKER_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s:room", parts[i]);
        ck_assert_msg(say(home, 0, name, "alice", "hi", "first").status == BROKER_OK, "%s", name);
        snprintf(name, sizeof name, "%s:late", parts[i]);
        ck_assert_msg(say(home, 0, name, "alice", "hi", "first").status == BROKER_OK, "%s", name);
    }
    struct published late = say(home, 0, "late", "alice", "hi", "first");
    ck_assert_int_eq(late.status, BROKER_OK);
    ck_assert_uint_eq(late.at.offset, 1);
    home_close(home);
}
END_TEST

UNIT_MAIN("redis", no_two_rooms_share_a_key)
