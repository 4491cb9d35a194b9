/* Every word that the ChatUp class shows. Translate by `texts` in its configuration, in whole or in part. */
import type { ChatUpError } from '../error.js';
import type { Status } from '../types.js';

const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;

export const defaultTexts = {
  status: {
    disconnected: 'Not connected', connecting: 'Connecting', gettingWorker: 'Connecting', connected: 'Connected',
    authenticated: 'Connected', subConnectError: 'Reconnecting', pubConnectError: 'Reconnecting',
    workerSwitch: 'Changing servers', noWorker: 'No server available', dispatcherError: 'Server not reachable',
    authError: 'Not signed in',
  } satisfies Record<Status, string> as Record<Status, string>,
  messages: 'Messages',
  empty: 'Nothing has been said here yet.',
  newer: (number: number) => `↓ ${count(number, 'new message', 'new messages')}`,
  unread: 'New',
  joined: 'joined',
  left: 'left',
  removedUser: (name: string) => `What ${name} said was removed`,
  removedMessage: 'A message was removed',
  gap: 'You were away: some messages may be missing here',
  people: 'Here now',
  showPeople: 'Show who is here',
  hidePeople: 'Hide who is here',
  counts: (people: number, guests: number) =>
    count(people, 'person', 'people') + (guests ? `, ${count(guests, 'guest', 'guests')}` : ''),
  more: (number: number) => `and ${number} more`,
  somebody: 'Somebody',
  message: 'Message',
  write: 'Write a message',
  send: 'Send',
  sending: (number: number) => `Sending ${count(number, 'message', 'messages')}…`,
  guest: 'You are reading as a guest.',
  chooseName: 'You are reading as a guest. Choose a name to talk.',
  yourName: 'Your name',
  enter: 'Join in',
  youAre: 'You are',
  leave: 'leave',
  banned: 'You are banned from this room.',
  bannedFor: 'You are banned from this room for another', /* and the time */
  reason: (reason: string) => `Reason: ${reason}`,
  kicked: 'A moderator has closed your connection.',
  tooFast: 'You are writing too fast. Wait', /* and the time */
  error(error: ChatUpError): string {
    switch (error.err) {
    case 'messageTooLong': return `This message is too long${error.max ? `: ${error.max} bytes are allowed` : ''}.`;
    case 'blacklistedWord': return 'This message has a word that is not allowed here.';
    case 'rejected': return error.by ? `Not accepted by ${error.by}.` : 'Not accepted.';
    case 'rateLimited': return 'You are writing too fast. Please wait a moment.';
    case 'pluginUnavailable':
    case 'unavailable':
    case 'tooManyRooms': return 'The server could not take this just now. Please try again.';
    case 'timeout': return error.sent ? 'No answer came: this may have been sent already.'
      : 'This could not be sent: there is no connection.';
    case 'tooManyWaiting': return 'Too many messages are waiting to be sent.';
    case 'unreachable': return 'The server cannot be reached just now.';
    case 'authError':
    case 'Wrong JWT':
    case 'Wrong JWT content':
    case 'token expired': return 'Your sign-in is not valid any more. Please sign in again.';
    case 'notAuthenticated': return 'Sign in to talk.';
    case 'unauthorized': return 'This room is for people who are signed in.';
    case 'forbidden': return 'You may not do that in this room.';
    }
    return error.err;
  },
};

export type Texts = typeof defaultTexts;

/** 90 → "1 min 30 s". */
export function duration(seconds: number): string {
  if (seconds < 60)
    return `${seconds} s`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return count(Math.floor(seconds / 86400), 'day', 'days');
}
