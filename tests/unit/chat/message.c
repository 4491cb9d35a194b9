#include "unit.h"

#include "buffer.h"
#include "message.h"

#include <string.h>

/* NULL: absent */
static void check_text(struct text text, const char *expected)
{
    ck_assert(expected ? text_is(text, expected) : !text.at);
}

static struct text text_or_none(const char *string)
{
    return string ? text_of(string) : (struct text){0};
}

static const struct {
    const char *user, *sub, *name, *msg, *ev, *data, *json;
} cases[] = {
    {"{\"name\":\"Ann\"}", "ann-1", "Ann", "hello", NULL, NULL,
     "{\"o\":7,\"user\":{\"name\":\"Ann\"},\"sub\":\"ann-1\",\"msg\":\"hello\",\"i\":\"id-1\","
     "\"d\":1763890000.012}"},
    {"{\"name\":\"A\\\"\"}", "a\"\n", "A\"", "<b>\\ and much that is plain", NULL, NULL,
     "{\"o\":7,\"user\":{\"name\":\"A\\\"\"},\"sub\":\"a\\\"\\n\","
     "\"msg\":\"\\u003cb>\\\\ and much that is plain\",\"i\":\"id-1\",\"d\":1763890000.012}"},
    {NULL, NULL, NULL, NULL, "wave", "[1,\"two\"]",
     "{\"o\":7,\"user\":null,\"ev\":\"wave\",\"data\":[1,\"two\"],\"i\":\"id-1\","
     "\"d\":1763890000.012}"},
    {"{}", "", "", "", "e\tv", NULL,
     "{\"o\":7,\"user\":{},\"msg\":\"\",\"ev\":\"e\\tv\",\"i\":\"id-1\",\"d\":1763890000.012}"},
};

/* However the JSON has them: as they are, escaped, or not at all. */
START_TEST(a_message_has_its_fields_and_its_json)
{
    struct name *room = name_create(text_of("room"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[] = "id-1";
        const struct message_fields fields = {.id = text_of(id),
                                              .time_ms = INT64_C(1763890000012),
                                              .user = text_or_none(cases[i].user),
                                              .sub = text_or_none(cases[i].sub),
                                              .name = text_or_none(cases[i].name),
                                              .msg = text_or_none(cases[i].msg),
                                              .ev = text_or_none(cases[i].ev),
                                              .data = text_or_none(cases[i].data)};
        struct message *message = message_create(room, &fields);
        struct buffer json = {0};
        memset(id, '?', sizeof id); /* it has copies */
        message->offset = 7;
        message_write_json(message, &json);
        check_text((struct text){json.at, json.length}, cases[i].json);
        check_text(message->fields.id, "id-1");
        check_text(message->fields.user, cases[i].user);
        check_text(message->fields.sub, cases[i].sub);
        check_text(message->fields.name, cases[i].name);
        check_text(message->fields.msg, cases[i].msg);
        check_text(message->fields.ev, cases[i].ev);
        check_text(message->fields.data, cases[i].data);
        buffer_finish(&json);
        message_unref(message);
    }
    name_unref(room);
}
END_TEST

START_TEST(a_tombstone_has_an_offset_a_time_and_an_id)
{
    struct name *room = name_create(text_of("room"));
    const struct message_fields fields = {
        .id = text_of("id-1"), .time_ms = 1, .msg = text_of("gone"), .name = text_of("Ann")};
    struct message *message = message_create(room, &fields);
    message->offset = 3;
    struct message *tombstone = message_tombstone(message);
    ck_assert(tombstone->removed);
    ck_assert_uint_eq(tombstone->offset, 3);
    ck_assert_int_eq(tombstone->fields.time_ms, 1);
    check_text(tombstone->fields.id, "id-1");
    check_text(tombstone->fields.msg, NULL);
    check_text(tombstone->fields.name, NULL);
    message_unref(tombstone);
    message_unref(message);
    name_unref(room);
}
END_TEST

UNIT_MAIN("message", a_message_has_its_fields_and_its_json,
          a_tombstone_has_an_offset_a_time_and_an_id)
