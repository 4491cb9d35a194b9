#include "broker.h"

const char *broker_status_text(enum broker_status status)
{
    static const char *const texts[] = {[BROKER_OK] = "ok",
                                        [BROKER_BANNED] = "banned",
                                        [BROKER_FULL] = "tooManyRooms",
                                        [BROKER_FULL_BANS] = "tooManyBans",
                                        [BROKER_UNAVAILABLE] = "unavailable",
                                        [BROKER_UNKNOWN] = "unknown",
                                        [BROKER_REPEATED] = "repeated"};
    return texts[status];
}

void broker_publish(struct broker *broker, const struct publication *what, broker_published *done,
                    void *arg)
{
    broker->home->publish(broker, what, done, arg);
}

void broker_subscribe(struct broker *broker, struct name *room, const struct position *since,
                      broker_subscribed *done, void *arg)
{
    broker->home->subscribe(broker, room, since, done, arg);
}

void broker_readers(struct broker *broker, struct name *room, uint32_t count)
{
    broker->home->readers(broker, room, count);
}

void broker_join(struct broker *broker, struct name *room, const char member[37], struct text user,
                 const struct identity *who, broker_joined *done, void *arg)
{
    broker->home->join(broker, room, member, user, who, done, arg);
}

void broker_leave(struct broker *broker, struct name *room, const char member[37])
{
    broker->home->leave(broker, room, member);
}

void broker_look(struct broker *broker, struct name *room, const struct room_asked *asked,
                 broker_looked *done, void *arg)
{
    broker->home->look(broker, room, asked, done, arg);
}

void broker_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    broker->home->ban(broker, ban, done, arg);
}

void broker_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    broker->home->unban(broker, ban, done, arg);
}

int64_t broker_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                       struct text *reason_out)
{
    return broker->home->ban_ttl(broker, room, who, reason_out);
}

void broker_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                      void *arg)
{
    broker->home->list_bans(broker, asked, done, arg);
}

void broker_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                   void *arg)
{
    broker->home->remove(broker, removal, done, arg);
}

void broker_kick(struct broker *broker, const struct kick *kick, broker_moderated *done, void *arg)
{
    broker->home->kick(broker, kick, done, arg);
}

void broker_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                 void *arg)
{
    broker->home->once(broker, key, expires_ms, done, arg);
}

void broker_once_forget(struct broker *broker, struct name *key)
{
    broker->home->once_forget(broker, key);
}

void broker_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg)
{
    broker->home->keep(broker, what, done, arg);
}

struct broker_watch *broker_watch(struct broker *broker, const struct keep *where, struct text key,
                                  broker_changed *changed, void *arg)
{
    return broker->home->watch(broker, where, key, changed, arg);
}

void broker_unwatch(struct broker *broker, struct broker_watch *watch)
{
    broker->home->unwatch(broker, watch);
}

void broker_health(struct broker *broker, struct broker_health *health_out)
{
    broker->home->health(broker, health_out);
}

void broker_probe(struct broker *broker, broker_probed *done, void *arg)
{
    broker->home->probe(broker, done, arg);
}

void broker_use(struct broker *broker, const struct config *conf)
{
    broker->home->use(broker, conf);
}

const struct worker_place *broker_pick_worker(struct broker *broker, struct text excluded)
{
    return broker->home->pick_worker ? broker->home->pick_worker(broker, excluded) : NULL;
}
