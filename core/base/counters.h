/* counters.h: what happened how often, in the whole process. Any thread; GET /metrics shows them.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

/* name, help. All are monotonic but those that end in _now. */
#define COUNTERS(X)                                                                                \
    X(connections_now, "client connections that are open")                                         \
    X(rooms_now, "rooms in memory: with somebody there, or used in the last seconds")              \
    X(connections, "client connections accepted")                                                  \
    X(requests, "HTTP requests, websocket handshakes among them")                                  \
    X(websockets, "websocket handshakes completed")                                                \
    X(messages_in, "messages that clients and servers gave, whatever became of them")              \
    X(deliveries, "frames handed to readers")                                                      \
    X(refused_connections, "connections refused: limits.connections")                              \
    X(refused_address, "connections refused: limits.connections_per_address")                      \
    X(refused_descriptors, "connections refused: no descriptors left but the reserve")             \
    X(limited_handshakes, "connections refused: limits.handshakes_per_address")                    \
    X(limited_requests, "requests refused: limits.requests_per_address")                           \
    X(limited_frames, "pauses in reading a connection: limits.frames_per_connection")              \
    X(limited_says, "says refused: limits.says_per_…")                                             \
    X(limited_joins, "joins refused: limits.joins_per_…")                                          \
    X(too_long_messages, "messages refused: limits.message_bytes")                                 \
    X(too_big_bodies, "requests refused: limits.body_bytes")                                       \
    X(too_big_heads, "requests refused: limits.header_bytes")                                      \
    X(too_big_frames, "websockets closed: a frame too big")                                        \
    X(too_big_tokens, "tokens refused: limits.token_bytes")                                        \
    X(too_deep_json, "JSON refused: limits.json_depth")                                            \
    X(too_many_channels, "subscriptions refused: limits.channels")                                 \
    X(too_many_rooms, "requests refused: limits.rooms")                                            \
    X(too_many_bans, "bans refused: limits.bans")                                                  \
    X(too_many_replays, "tokens of servers refused: limits.replays")                               \
    X(paused_says, "pauses in reading a speaker: limits.pending_says")                             \
    X(store_refused, "messages refused: limits.store_bytes")                                       \
    X(plugin_store_refused, "batches of plugins refused: limits.plugin_bytes")                     \
    X(store_late, "questions to the store without an answer: limits.store_wait")                   \
    X(redis_connects, "connections to Redis that became usable: two per loop and server")          \
    X(redis_losses, "connections to Redis that broke, or did not answer")                          \
    X(redis_refused, "commands that Redis was not given, or refused")                              \
    X(redis_gaps, "rooms that were read again since something was missing")                        \
    X(redis_resets, "rooms whose continuity was lost, told to their readers")                      \
    X(slow_readers, "readers closed: limits.queue_bytes or limits.stall")                          \
    X(timed_out_header, "connections closed: limits.header")                                       \
    X(timed_out_body, "connections closed: limits.body")                                           \
    X(timed_out_auth, "connections closed: limits.auth")                                           \
    X(timed_out_idle, "connections closed: limits.idle")                                           \
    X(bad_requests, "requests refused that are no proper HTTP or websocket")                       \
    X(tls_failures, "TLS handshakes that failed")                                                  \
    X(failed_allocations, "connections and requests given up for want of memory")

#define X(name, help) COUNT_##name,
enum counter { COUNTERS(X) COUNTER_COUNT };
#undef X

extern _Atomic uint64_t counters[COUNTER_COUNT];

static inline void count_up(enum counter counter)
{
    atomic_fetch_add_explicit(&counters[counter], 1, memory_order_relaxed);
}

static inline void count_add(enum counter counter, uint64_t more)
{
    atomic_fetch_add_explicit(&counters[counter], more, memory_order_relaxed);
}

static inline void count_down(enum counter counter)
{
    atomic_fetch_sub_explicit(&counters[counter], 1, memory_order_relaxed);
}
