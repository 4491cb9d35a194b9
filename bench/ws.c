#include "ws.h"

#include <string.h>

size_t ws_head(unsigned char head[WS_HEAD_MAX], enum ws_opcode opcode, size_t length)
{
    size_t n = 2;
    head[0] = 0x80 | opcode;
    if (length < 126) {
        head[1] = 0x80 | (unsigned char)length;
    } else if (length < 65536) {
        head[1] = 0x80 | 126;
        head[n++] = (unsigned char)(length >> 8);
        head[n++] = (unsigned char)length;
    } else {
        head[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            head[n++] = (unsigned char)((uint64_t)length >> shift);
    }
    memset(head + n, 0, 4);
    return n + 4;
}

static size_t head_size(const unsigned char *head)
{
    unsigned length = head[1] & 0x7f;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

static bool head_read(struct ws_parser *parser)
{
    const unsigned char *head = parser->head;
    if ((head[0] & 0x70) || (head[1] & 0x80))
        return false;
    size_t size = head_size(head);
    uint64_t left = head[1] & 0x7f;
    if (size > 2) {
        left = 0;
        for (size_t i = 2; i < size; i++)
            left = left << 8 | head[i];
    }
    parser->left = left;
    parser->opcode = head[0] & 15;
    parser->fin = head[0] & 0x80;
    parser->inside = true;
    parser->have = 0;
    return true;
}

enum ws_result ws_next(struct ws_parser *parser, const char **data, size_t *length,
                       struct ws_piece *piece_out)
{
    bool first = false;
    if (!parser->inside) {
        while (parser->have < 2 || parser->have < head_size(parser->head)) {
            if (!*length)
                return WS_MORE;
            parser->head[parser->have++] = (unsigned char)*(*data)++;
            --*length;
        }
        if (!head_read(parser))
            return WS_WRONG;
        first = true;
    }
    if (!*length && parser->left)
        return WS_MORE;
    size_t take = parser->left < *length ? (size_t)parser->left : *length;
    parser->left -= take;
    parser->inside = parser->left > 0;
    *piece_out = (struct ws_piece){*data, take, parser->opcode, first, !parser->left};
    *data += take;
    *length -= take;
    return WS_PIECE;
}
