/* client.h: who speaks and who reads. A reader keeps account of every message of every channel:
 * what is missing, came twice, or out of order. Nothing happens behind the caller's back: a reader
 * that is not asked for its next frame does not read. One thread at a time per object. */
#pragma once
#include "websocket.h"

/* ---- publisher ---- */

struct publisher {
    struct websocket *ws;
    int64_t last_id;
    json_t *frame; /* the last reply, {"id":…,"reply":…} */
};

struct publisher *publisher_connect(struct server *server);                 /* no token yet */
struct publisher *publisher_open(struct server *server, const char *token); /* authenticated */
/* With a user's token made on the spot, and joined. */
struct publisher *publisher_enter(struct server *server, const char *name, const char *room);
void publisher_join(struct publisher *publisher, const char *room); /* must be ok */

/* Send a request {"id":…,verb:value} and wait for its reply, the value of "reply": borrowed until
 * the next call; NULL if the connection is gone.
 *   value  taken */
json_t *publisher_ask(struct publisher *publisher, const char *verb, json_t *value);
/*   cid  or NULL */
json_t *publisher_say(struct publisher *publisher, const char *text, const char *cid);
int64_t publisher_say_ok(struct publisher *publisher, const char *text); /* its offset */
/* The same, again and again until it is, with the text as client id. */
int64_t publisher_say_until_ok(struct publisher *publisher, const char *text);
/* The two halves, to send several requests at once.
 *   returns  send: the id, 0 if the connection is gone; receive: the frame, as above */
int64_t publisher_send(struct publisher *publisher, const char *verb, json_t *value);
int64_t publisher_send_say(struct publisher *publisher, const char *text, const char *cid);
json_t *publisher_receive(struct publisher *publisher);

void publisher_close(struct publisher *publisher);
void publisher_cut(struct publisher *publisher);

/* ---- reader ---- */

struct account {
    char *channel;
    char *epoch; /* with offset: the position, NULL before the first frame */
    int64_t offset;
    json_t *messages; /* with an offset, oldest first: what a chat window would show */
    json_t *events;   /* without one */
    size_t looked_at; /* of events, by reader_wait_event */
    size_t first_frames, recovered; /* how many, and how many of them with recovered: true */
    /* What is wrong. Removed messages are missing too: who knows of some has to allow for them. */
    size_t missing, duplicates, misplaced;
};

struct reader {
    struct server *server;
    struct websocket *ws; /* NULL after reader_cut */
    struct account *accounts;
    size_t count;
    json_t *frame; /* the last one */
};

/* Open and wait for the first frame of every channel. */
struct reader *reader_open(struct server *server, const char *channel);
/*   channels  taken; ["a",{"channel":"b","since":"…"}]; as a query, or in a frame of its own */
struct reader *reader_open_query(struct server *server, json_t *channels);
struct reader *reader_open_frame(struct server *server, json_t *channels);
/* Only open: a reader that will be slow. */
struct reader *reader_open_stalled(struct server *server, const char *channel, int receive_bytes);
/* In the path form, with as many channels. */
struct reader *reader_open_path(struct server *server, const char *target, size_t count);

/* Only its accounts, of ["a",{"channel":"b"}], for frames that come by another way. */
struct reader *reader_create(struct server *server, const json_t *channels);
void reader_account_frame(struct reader *reader, const json_t *frame);

/* Next frame, accounted for; borrowed until the next call; NULL if the connection is over. The test
 * fails if nothing comes. */
json_t *reader_next(struct reader *reader);
/* Take what has already arrived, without waiting; false if the connection is over. */
bool reader_take_arrived(struct reader *reader);
struct account *reader_account(struct reader *reader, const char *channel);

/* Read on until … */
void reader_wait_offset(struct reader *reader, const char *channel, int64_t offset);
json_t *reader_wait_message(struct reader *reader, const char *channel, const char *text);
json_t *reader_wait_event(struct reader *reader, const char *channel, const char *ev);

void reader_cut(struct reader *reader);    /* without a word; the accounts stay */
void reader_resume(struct reader *reader); /* with since of every channel; waits as reader_open */
void reader_close(struct reader *reader);

/* Nothing missing, twice or out of order. */
void account_expect_clean(const struct account *account);
/* "epoch:offset" */
char *position_of(const char *epoch, int64_t offset);
/* The texts of an array of messages: ["a","b"]. */
json_t *texts_of(const json_t *messages);

/* Ask /stats until it says so. */
void wait_stats(struct server *server, const char *channel, int subs, int pubs, int users);
/* Ask /health/ready until it answers that; what it says then. */
struct http_answer *wait_ready(struct server *server, int status);
