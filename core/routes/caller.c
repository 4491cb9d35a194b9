#include "caller.h"
#include "clock.h"
#include "pipeline.h"
#include "route.h"
#include "user.h"

#include <strings.h>

struct text bearer_token(struct text authorization)
{
    if (authorization.length <= 7 || strncasecmp(authorization.at, "Bearer ", 7) != 0)
        return (struct text){0};
    return (struct text){authorization.at + 7, authorization.length - 7};
}

bool request_user(struct request *request, struct user **user_out)
{
    struct text token = request->authorization.at ? bearer_token(request->authorization)
                                                  : request_argument(request, "token");
    *user_out = NULL;
    if (!request->authorization.at && !token.at)
        return true;
    if (token.at && user_from_token(request->pipeline->keys, token.at, token.length,
                                    clock_wall_ms(), user_out) == TOKEN_OK)
        return true;
    request_reply_error(request, 401, "Wrong JWT");
    return false;
}
