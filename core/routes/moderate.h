/* moderate.h: what POST /ban, /unban, /kick and /remove have in common: items that say whom, where.
 * All of them are checked before the first is acted upon. */
#pragma once
#include "address.h"
#include "broker.h"
#include "error.h"

struct ask;
struct json_t;
struct request;

struct item {
    struct name *room; /* NULL: everywhere */
    enum ban_kind kind;
    struct text who; /* into the payload, or: */
    char site[ADDRESS_SITE_SIZE];
    int64_t expires_ms; /* ban.c */
    struct text reason;
    struct text id; /* remove.c */
    uint64_t offset;
};

struct act {
    /* Fills a zeroed item, whose room is freed whatever it returns.
     *   returns  false with err: "key: what is wrong" */
    bool (*read)(struct item *item, const struct json_t *json, struct error *err);
    /* Asks the broker, with ask_moderated and ask. */
    void (*go)(struct broker *broker, const struct item *item, struct ask *ask);
    const char *counts; /* as for ask_open */
};

/* Answers the request, now or later. */
void moderate(struct request *request, const struct json_t *items, const struct act *act);

/* The parts of an item: {"name" | "sub" | "address": string} and {"channel": string} or
 * {"everywhere": true}. As act.read. */
bool item_read_who(struct item *item, const struct json_t *json, struct error *err);
bool item_read_where(struct item *item, const struct json_t *json, struct error *err);
/* "Wrong JWT content: [index].what" */
void moderate_refuse(struct request *request, size_t index, const char *what);
