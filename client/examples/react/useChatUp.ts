/* A React hook around ChatUpProtocol: a room as state. Copy it into your project; it needs nothing but React. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { type ChatEvent, ChatUpProtocol, type Conf, type Message, type Stats, type Status } from 'chatup-client/protocol';

const MOST = 500;

function isRemoved(message: Message, { channel, ev, data }: ChatEvent): boolean {
  if (message.channel !== channel)
    return false;
  if (ev === 'rmUserMsg')
    return message.sub === data || message.user.name === data;
  const { i, o } = (data ?? {}) as { i?: string; o?: number };
  return ev === 'rmMsg' && (message.i === i || (o !== undefined && message.o === o));
}

export function useChatUp({ dispatcherURL, room, jwt }: Pick<Conf, 'dispatcherURL' | 'room' | 'jwt'>) {
  const [messages, setMessages] = useState<Message[]>([]);
  const [status, setStatus] = useState<Status>('disconnected');
  const [stats, setStats] = useState<Stats | undefined>();
  const [wasAway, setWasAway] = useState(false);
  const protocol = useRef<ChatUpProtocol | undefined>(undefined);

  useEffect(() => {
    const chat = new ChatUpProtocol({ ...(dispatcherURL !== undefined && { dispatcherURL }), ...(room !== undefined && { room }), jwt });
    protocol.current = chat;
    setMessages([]);
    chat.onMsg((message) => setMessages((all) => [...all.slice(1 - MOST), message]));
    chat.onEv((event) => setMessages((all) => all.filter((message) => !isRemoved(message, event))));
    chat.onStatusChange(setStatus);
    chat.onUserCountUpdate((now) => setStats({ ...now }));
    chat.on('gap', ({ channel, messages: history }) => {
      const known = new Set(history.map(({ i }) => i));
      setWasAway(true); /* what the history has no more was removed, or is too old for it */
      setMessages((all) => all.filter((message) => message.channel !== channel || known.has(message.i)));
    });
    chat.init().catch(() => {}); /* the status says it */
    return () => chat.close();
  }, [dispatcherURL, room, jwt]);

  const say = useCallback((text: string) => protocol.current!.say(text), []);
  return { messages, status, stats, wasAway, say };
}
