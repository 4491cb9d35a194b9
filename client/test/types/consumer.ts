/* A strict project that uses the package: it only has to compile. */
import {
  type AuthReply, ChatUp, type ChatEvent, ChatUpError, ChatUpProtocol, type ClientPlugin, defaultTexts, emoji, type Message, type SayReply,
  type Status,
} from 'chatup-client';
import { ChatUpProtocol as Alone } from 'chatup-client/protocol';

const mentions: ClientPlugin = {
  name: 'mentions',
  onRender(text, message, { me }) {
    if (me?.user.name !== undefined && message.msg.includes(`@${me.user.name}`))
      text.classList.add('mentioned');
  },
};

export async function use(node: HTMLElement): Promise<number | undefined> {
  const chat = new ChatUp(node, { dispatcherURL: 'https://chat.example.org', room: 'lobby', texts: { ...defaultTexts, send: 'Senden' } });
  chat.use(emoji()).use(mentions);
  await chat.init();
  const protocol: ChatUpProtocol = chat.protocol;
  const end: () => void = protocol.on('gap', ({ channel, messages }) => { channel satisfies string; messages.length satisfies number; });
  protocol.onMsg((message: Message) => message.user.name satisfies string | undefined);
  protocol.onEv((event: ChatEvent) => event.data satisfies unknown);
  protocol.onStatusChange((status: Status) => status === 'noWorker');
  end();
  // @ts-expect-error there is no such event
  protocol.on('nothing', () => {});
  // @ts-expect-error nor such a status
  protocol.status = 'well';
  const reply: AuthReply = await chat.authenticate('token');
  reply.banTTL satisfies number | undefined;
  try {
    const said: SayReply = await chat.say('hello');
    return said.offset;
  } catch (error) {
    if (error instanceof ChatUpError)
      return error.ttl ?? error.ttw;
    throw error;
  }
}

export const alone = new Alone({ dispatcherURL: '/', jwt: undefined, getToken: () => Promise.resolve('token'), transports: ['eventsource'] });
