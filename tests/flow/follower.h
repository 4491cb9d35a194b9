/* follower.h: who reads without a websocket, by /ev, /sub or /lp, and resumes as its kind does: by
 * Last-Event-ID, by the positions of its book, by what the last poll said. */
#pragma once
#include "client.h"

enum follower_kind { FOLLOW_EVENTS, FOLLOW_LINES, FOLLOW_POLL, FOLLOW_KINDS };

struct follower {
    struct server *server;
    enum follower_kind kind;
    struct reader *book;   /* accounts of all channels */
    char *channels;        /* JSON */
    char *since;           /* NULL: from the start */
    const char *token;     /* as a header; NULL: a guest */
    struct stream *stream; /* NULL: not connected */
    json_t *frame;         /* the last one */
    int close_code;        /* told before the end; 0: not */
    char *close_reason;
    int64_t expires; /* as told; -1: not */
    size_t heartbeats;
};

/*   channels  JSON, as ["a",{"channel":"b"}] */
struct follower *follower_create(struct server *server, enum follower_kind kind,
                                 const char *channels);
/* Ask; the test fails unless the answer is 200. A poll is asked anew by each follower_next. */
void follower_connect(struct follower *follower);
/* The next frame, accounted for, or for polls the next answer with all of its frames; NULL if the
 * connection is over. The test fails if nothing comes. Borrowed until the next call. */
json_t *follower_next(struct follower *follower);
/* The two halves of it for a poll. */
void follower_ask(struct follower *follower);
json_t *follower_answer(struct follower *follower);
void follower_wait_message(struct follower *follower, const char *channel, const char *text);
/* Without a word; the book stays. */
void follower_cut(struct follower *follower);
/* "/ev", "/sub" or "/lp" */
const char *follower_path(enum follower_kind kind);
