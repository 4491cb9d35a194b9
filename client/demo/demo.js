/* The demo page: rooms side by side, a notification channel of one's own, and what moderators do. Only the demo gives
 * tokens to anybody who asks: your own page asks your own site for one. */
import { ChatUp, ChatUpProtocol, emoji } from './chatup.mjs';

const at = (id) => document.getElementById(id);
const DEMO_ONLY = 'This server gives no tokens, as it does not run as a demo: here you can only read.';
const NAME_ERRORS = {
  nameMissing: 'Please give a name.',
  nameTooLong: 'This name is too long.',
  nameInvalid: 'This name has characters that nobody could see. Please choose another.',
};

/* ---- what the demo signs ---- */

async function ask(path, init) {
  const answer = await fetch(path, { method: 'POST', cache: 'no-store', ...init });
  const text = await answer.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { err: text };
  }
  if (answer.ok)
    return body;
  throw new Error(answer.status === 404 ? DEMO_ONLY : NAME_ERRORS[body.err] ?? body.err ?? `The server answered ${answer.status}`);
}

const tokenFor = async (name) => (await ask('/plugin/demo/token', { body: JSON.stringify({ name }) })).token;
const signed = async (items) => (await ask('/plugin/demo/admin', { body: JSON.stringify({ items }) })).token;

/* ---- rooms ---- */

const rooms = new Map();
let myName = sessionStorage.getItem('name'); /* of this tab: two tabs are two people */

function openRoom(room) {
  if (rooms.has(room))
    return;
  const place = document.createElement('div');
  const box = document.createElement('div');
  const close = document.createElement('button');
  place.className = 'room';
  box.style.height = '100%';
  close.className = 'room-close';
  close.type = 'button';
  close.textContent = '✕';
  close.setAttribute('aria-label', `Close ${room}`);
  close.addEventListener('click', () => closeRoom(room));
  place.append(box, close);
  at('rooms').append(place);
  const chat = new ChatUp(box, {
    dispatcherURL: '/',
    room,
    signIn: async (name) => {
      const token = await tokenFor(name);
      enter(name, room);
      return token;
    },
  }).use(emoji());
  chat.init();
  rooms.set(room, { chat, place });
  if (myName)
    chat.signIn(myName);
  remember();
}

function closeRoom(room) {
  const { chat, place } = rooms.get(room);
  chat.destroy();
  place.remove();
  rooms.delete(room);
  remember();
}

/* Under one name in all rooms where one is a guest. */
function enter(name, from) {
  if (name !== myName)
    listenAs(name);
  myName = name;
  sessionStorage.setItem('name', name);
  for (const [room, { chat }] of rooms)
    if (room !== from && !chat.protocol.me)
      chat.signIn(name);
}

function remember() {
  const query = new URLSearchParams([...rooms.keys()].map((room) => ['room', room]));
  history.replaceState(null, '', `?${query}`);
  document.title = `${[...rooms.keys()].join(', ')} · ChatUp`;
}

/* ---- notifications: for all, and for one ---- */

let listener;

function listenAs(name) {
  listener?.close();
  listener = new ChatUpProtocol({
    dispatcherURL: '/',
    room: 'news',
    additionalChannels: name ? [`user:demo:${name}`] : [],
    getToken: name ? () => tokenFor(name) : undefined,
    userCountRefreshTimeout: 0,
  });
  const startedAt = Date.now();
  listener.onMsg((message) => message.date.getTime() > startedAt - 60000 && notify(message));
  (name ? listener.authenticate() : Promise.resolve()).catch(() => {}).then(() => listener.init());
}

function notify(message) {
  const box = document.createElement('div');
  const text = document.createElement('p');
  const close = document.createElement('button');
  box.className = 'notification';
  text.dir = 'auto';
  text.textContent = message.msg;
  close.type = 'button';
  close.textContent = '✕';
  close.setAttribute('aria-label', 'Dismiss');
  close.addEventListener('click', () => box.remove());
  box.append(text, close);
  at('notifications').append(box);
  setTimeout(() => box.remove(), 15000);
}

/* ---- moderators ---- */

const tell = (text) => { at('outcome').textContent = text; };

function onSubmit(id, act) {
  at(id).addEventListener('submit', async (event) => {
    event.preventDefault();
    const value = Object.fromEntries(new FormData(event.target));
    try {
      tell(await act(value, event.submitter?.value, event.target));
    } catch (error) {
      tell(error.message);
    }
  });
}

onSubmit('ban-form', async ({ name, room, expire, reason }, act) => {
  if (act === 'unban') {
    const { unbanned } = await ask('/unban', { body: await signed([{ name, channel: room }]) });
    return unbanned ? `${name} may speak again in ${room}.` : `${name} was not banned from ${room}.`;
  }
  const ban = { name, channel: room, expire: Number(expire), ...(reason ? { reason } : {}) };
  await ask('/ban', { body: await signed([ban]) });
  return `${name} is banned from ${room}.`;
});

onSubmit('post-form', async ({ channel, msg }, act, form) => {
  await ask('/post', { body: await signed([{ channel, msg, user: { name: 'Server' } }]) });
  form.msg.value = '';
  return `Posted to ${channel}.`;
});

onSubmit('words-form', async ({ word }, act, form) => {
  const change = act === 'remove' ? { blacklistRemove: [word], muteRemove: [word] } : { [act]: [word] };
  await ask('/plugin/blacklist', { body: await signed(change) });
  form.word.value = '';
  await showWords();
  return act === 'remove' ? `“${word}” is allowed.` : act === 'muteAdd' ? `“${word}” is replaced.` : `“${word}” is blocked.`;
});

async function showWords() {
  const { words, muted } = await ask('/plugin/blacklist', { method: 'GET', headers: { Authorization: `Bearer ${await signed([])}` } });
  at('words').textContent = [words.length ? `Blocked: ${words.join(', ')}.` : '', muted.length ? `Replaced: ${muted.join(', ')}.` : '']
    .filter(Boolean).join(' ');
}

at('moderate').addEventListener('click', () => {
  const open = at('panel').hidden;
  at('panel').hidden = !open;
  at('moderate').setAttribute('aria-expanded', String(open));
  if (open)
    showWords().catch((error) => tell(error.message));
});

/* ---- together ---- */

at('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  openRoom(at('room').value);
  rooms.get(at('room').value).place.scrollIntoView({ behavior: 'smooth' });
  at('room').value = '';
});

const asked = new URLSearchParams(location.search).getAll('room').filter(Boolean);
for (const room of asked.length ? asked : ['lobby', 'garden'])
  openRoom(room);
listenAs(myName);
