/* say_scan is the short way of json_read and say_read: of what it takes they must say the same. */
#include "say.h"
#include "json.h"
#include "unit.h"

#include <jansson.h>

#define T(literal) ((struct text){literal, sizeof(literal) - 1})

static bool equal(struct text a, struct text b)
{
    return a.length == b.length && (!a.length || !memcmp(a.at, b.at, a.length));
}

/* returns  whether it was taken */
static bool scan_as_parsed(struct text message)
{
    struct text id;
    struct say scanned, parsed;
    if (!say_scan(message, &id, &scanned))
        return false;
    json_t *json = json_read(message, 2);
    char *id_written = json_dumps(json_object_get(json, "id"), JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_msg(json && json_object_size(json) == 2 && id_written &&
                      say_read(json_object_get(json, "say"), &parsed),
                  "%.*s", (int)message.length, message.at);
    ck_assert_msg(equal(id, text_of(id_written)) && equal(scanned.msg, parsed.msg) &&
                      equal(scanned.cid, parsed.cid) && !scanned.cid.at == !parsed.cid.at,
                  "%.*s", (int)message.length, message.at);
    free(id_written);
    json_decref(json);
    return true;
}

START_TEST(what_clients_write_is_taken)
{
    static const struct text messages[] = {
        T("{\"id\":1,\"say\":{\"msg\":\"hello\"}}"),
        T("{\"id\":0,\"say\":{\"msg\":\"\"}}"),
        T("{\"id\":123456789012345678,\"say\":{\"msg\":\"a/b <i> Gr\xc3\xbcn \xf0\x9f\x8c\xb1 "
          "\x7f\"}}"),
        T("{\"id\":\"a b\",\"say\":{\"msg\":\"hello\",\"cid\":\"c-1\"}}"),
        T("{\"id\":\"\",\"say\":{\"msg\":\"{\\u0022}\",\"cid\":\"c\"}}"),
    };
    for (size_t i = 0; i + 1 < sizeof messages / sizeof *messages; i++)
        ck_assert_msg(scan_as_parsed(messages[i]), "%s", messages[i].at);
    ck_assert(!scan_as_parsed(messages[sizeof messages / sizeof *messages - 1])); /* escaped */
}
END_TEST

START_TEST(what_is_otherwise_is_left_to_the_parser)
{
    static const char *const messages[] = {
        "",
        "{",
        "{\"id\":1}",
        "{\"id\":1,\"join\":{\"room\":\"a\"}}",
        "{\"say\":{\"msg\":\"hello\"},\"id\":1}",
        "{\"id\":1, \"say\":{\"msg\":\"hello\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"hello\"}} ",
        "{\"id\":1,\"say\":{\"msg\":\"hello\"},\"x\":1}",
        "{\"id\":01,\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":-1,\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":1.0,\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":,\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":1234567890123456789,\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":\"\xc3\xbc\",\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":\"12345678901234567890123456789012345678901234567890123456789012345\","
        "\"say\":{\"msg\":\"hello\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\\nb\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\nb\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"a}}",
        "{\"id\":1,\"say\":{\"msg\":1}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\",\"cid\":\"\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\",\"cid\":1}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\",\"cid\":\"c\",\"cid\":\"d\"}}",
        "{\"id\":1,\"say\":{\"cid\":\"c\",\"msg\":\"a\"}}",
        "{\"id\":1,\"say\":{\"msg\":\"a\",\"cid\":\""
        "12345678901234567890123456789012345678901234567890123456789012345\"}}",
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        ck_assert_msg(!scan_as_parsed(text_of(messages[i])), "%s", messages[i]);
}
END_TEST

START_TEST(whatever_is_changed_it_says_what_the_parser_says)
{
    static const char alphabet[] = "{}[]\":,\\ 0123456789-.eidsaymgc\t\n\x01/u";
    uint64_t random = 88172645463325252u; /* xorshift64 (Marsaglia, 2003): the same each time */
    size_t taken = 0;
    for (int run = 0; run < 300000; run++) {
        char text[] = "{\"id\":17,\"say\":{\"msg\":\"hello\",\"cid\":\"c-1\"}}";
        size_t length = sizeof text - 1;
        for (int change = 0; change < 1 + run % 3; change++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            size_t at = random % length;
            char c = alphabet[random / 64 % (sizeof alphabet - 1)];
            if (random >> 40 & 1) {
                text[at] = c;
            } else {
                memmove(text + at, text + at + 1, length - at);
                length--;
            }
        }
        taken += scan_as_parsed((struct text){text, length});
    }
    ck_assert_uint_gt(taken, 1000);
}
END_TEST

UNIT_MAIN("say", what_clients_write_is_taken, what_is_otherwise_is_left_to_the_parser,
          whatever_is_changed_it_says_what_the_parser_says)
