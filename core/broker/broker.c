#include "broker.h"

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
                 struct text sub, struct text name, broker_joined *done, void *arg)
{
    broker->home->join(broker, room, member, user, sub, name, done, arg);
}

void broker_leave(struct broker *broker, struct name *room, const char member[37])
{
    broker->home->leave(broker, room, member);
}

void broker_look(struct broker *broker, struct name *room, uint64_t skip, uint64_t limit,
                 broker_looked *done, void *arg)
{
    broker->home->look(broker, room, skip, limit, done, arg);
}

void broker_ban(struct broker *broker, struct ban *ban, struct message *notice, broker_banned *done,
                void *arg)
{
    broker->home->ban(broker, ban, notice, done, arg);
}

int64_t broker_ban_ttl(struct broker *broker, const struct name *room, struct text sub,
                       struct text name)
{
    return broker->home->ban_ttl(broker, room, sub, name);
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

void broker_use(struct broker *broker, const struct config *conf)
{
    broker->home->use(broker, conf);
}
