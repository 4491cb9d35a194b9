/* The demo page: two people talk, a third is hostile, the server dies and comes back, a moderator acts.
 *     node tests/browser/chat.mjs path/to/chatup plugins-dir */
import { check, checkSoon, equal, screenshots, Server, story, Tab, wait } from './lib.mjs';

const HOSTILE_NAME = '<img src=x onerror=alert(1)>';
const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '<script>alert(2)</script>',
  '"\'><svg onload=alert(3)>&lt;b&gt; {{7*7}} ${7*7} `x` \\u003cb\\u003e javascript:alert(4)',
  'مرحبا שלום \u202egnp.exe',
  'Donaudampfschifffahrt'.repeat(40),
  '\u{1f469}\u200d\u{1f469}\u200d\u{1f467}\u{1f44d}\u{1f3fd}',
];
const TALK = [
  ['Ann', 'Good morning! Did the seedlings survive the night?'],
  ['Bob', 'They did. The fleece was a good idea, it went down to two degrees.'],
  ['Bob', "I left the door of the greenhouse open a hand's width."],
  ['Ann', 'Wonderful 🌱'],
  ['Ann', 'Then we can plant the beans on Saturday. I have the list here:\n· runner beans\n· two rows of peas\n· the old courgettes'],
  ['Bob', 'Saturday is fine. شكرا جزيلا!'],
  ['Bob', '👍'],
  ['Ann', 'See https://example.org/gardens/spring/planting-calendar-for-cool-and-windy-places for the distances.'],
];

async function twoPeople(server, browser) {
  const ann = await Tab.open(browser, `${server.url}/?room=lobby`);
  const bob = await Tab.open(browser, `${server.url}/?room=lobby`);
  for (const [name, tab] of [['Ann', ann], ['Bob', bob]]) {
    await checkSoon(async () => await tab.status() === 'connected', `${name}'s tab connects as a guest`, () => tab.notice());
    await tab.enter(name);
    await checkSoon(() => tab.talks(), `${name} chooses a name`, () => tab.notice());
  }
  for (const tab of [ann, bob])
    await checkSoon(async () => /Ann/.test(await tab.users()) && /Bob/.test(await tab.users()), 'a tab shows that Ann and Bob are there');
  await checkSoon(async () => await ann.counts() === '2 people', 'and counts them', () => ann.counts());
  await ann.say('Hello Bob');
  await checkSoon(async () => equal(await bob.messages(), [['Ann', 'Hello Bob']]), 'Bob reads Ann', () => bob.messages());
  await bob.page.locator('.chatup-input').fill('Hello Ann');
  await bob.page.keyboard.press('Enter');
  const both = [['Ann', 'Hello Bob'], ['Bob', 'Hello Ann']];
  await checkSoon(async () => equal(await ann.messages(), both) && equal(await bob.messages(), both), 'Ann reads Bob, who pressed Enter');
  check(await ann.page.locator('.chatup-input').inputValue() === '', 'a message sent leaves the composer');
  await bob.say('lovely :tada:');
  await checkSoon(async () => (await ann.texts()).at(-1) === 'lovely 🎉', 'the emoji plugin had its say', () => ann.texts());
  return { ann, bob };
}

async function hostileTexts(server, browser, ann) {
  const before = (await ann.messages()).length;
  const mallory = await Tab.open(browser, `${server.url}/?room=lobby`);
  await wait(() => mallory.isOpen());
  await mallory.enter(HOSTILE_NAME);
  await checkSoon(() => mallory.talks(), 'a hostile name is just a name', () => mallory.notice());
  for (const text of HOSTILE)
    await mallory.say(text);
  const want = HOSTILE.map((text) => [HOSTILE_NAME, text]);
  for (const [name, tab] of [['Ann', ann], ['the sender', mallory]]) {
    await checkSoon(async () => equal((await tab.messages()).slice(before), want), `hostile texts reach ${name} as they were written`,
                    async () => (await tab.messages()).slice(before));
    await checkSoon(async () => (await tab.users()).includes(HOSTILE_NAME), `who-is-there shows the hostile name to ${name} as text`);
    check(await tab.page.locator('.chatup-text *, .chatup-who *, .chatup img, .chatup script, .chatup svg').count() === 0,
          `no element came into ${name}'s page`);
    check(await tab.js(() => window.alerts) === 0, `no alert opened at ${name}'s`);
    check(await tab.js(() => [...document.querySelectorAll('.chatup-messages, .chatup-text')].every((node) => node.scrollWidth <= node.clientWidth)),
          `the long word wraps at ${name}'s`);
  }
  await mallory.page.reload();
  await checkSoon(async () => equal((await mallory.messages()).slice(before), want) && await mallory.js(() => window.alerts) === 0,
                  'nor after a reload, from history', () => mallory.messages());
  await checkSoon(() => mallory.talks(), 'the tab remembers its name');
  check(equal(mallory.problems(), []), 'the console of the hostile tab is clean', mallory.problems());
  await screenshots(mallory, 'hostile');
  await mallory.close();
  await checkSoon(async () => !(await ann.users()).includes(HOSTILE_NAME), 'who-is-there forgets who left', () => ann.users());
}

async function killedAndRestarted(server, ann, bob) {
  const before = await ann.texts();
  /* One is stored but its answer lost: it will be repeated, and its client id keeps it one. Another is on its way when
   * the server dies: whether it was stored nobody knows. */
  await ann.js(() => { window.deaf = true; });
  await ann.say('stored, the answer lost');
  await checkSoon(async () => (await bob.texts()).at(-1) === 'stored, the answer lost', 'Bob reads what Ann has no answer for');
  await bob.page.locator('.chatup-input').fill('said as the server died');
  await bob.page.keyboard.press('Enter');
  await server.kill();
  await ann.js(() => { window.deaf = false; });
  for (const [name, tab] of [['Ann', ann], ['Bob', bob]])
    await checkSoon(async () => !await tab.isOpen(), `${name}'s tab notices that the server is gone`);
  await ann.say('said while it was away');
  await bob.say('also said while it was away');
  check(!(await ann.texts()).includes('said while it was away') && /Sending 2/.test(await ann.page.locator('.chatup-pending').textContent()),
        'a message said meanwhile waits', await ann.page.locator('.chatup-pending').textContent());
  await server.start();
  for (const [name, tab] of [['Ann', ann], ['Bob', bob]])
    await checkSoon(async () => await tab.status() === 'authenticated', `${name}'s tab is back by itself`, () => tab.notice());
  const late = ['said as the server died', 'said while it was away', 'also said while it was away'];
  for (const tab of [ann, bob])
    await checkSoon(async () => late.every(((texts) => (text) => texts.includes(text))(await tab.texts())), 'what was said meanwhile arrives', () => tab.texts());
  check(await ann.page.locator('.chatup-gap').count() === 0, 'the resume is proven: no word of missing messages');
  await ann.say('after the restart');
  for (const tab of [ann, bob])
    await checkSoon(async () => (await tab.texts()).at(-1) === 'after the restart', 'and they go on talking', () => tab.texts());
  const stored = (await server.history('lobby')).map(({ msg }) => msg);
  check(equal(stored.slice(0, before.length), before), 'history is there after SIGKILL', stored);
  check(new Set(stored).size === stored.length && stored.length === before.length + 5, 'nothing is lost or doubled in the history', stored);
  check(equal(await ann.texts(), stored) && equal(await bob.texts(), stored), 'nor in the tabs', [await ann.texts(), await bob.texts()]);
}

/* A calm room to look at. */
async function pictures(server, browser, ann, bob) {
  const tabs = { Ann: ann, Bob: bob };
  for (const tab of [ann, bob])
    await tab.page.goto(`${server.url}/?room=garden`);
  for (const tab of [ann, bob])
    await checkSoon(async () => await tab.talks() && /Ann.*Bob|Bob.*Ann/.test(await tab.users()), 'both are in another room', () => tab.users());
  for (const [at, [name, text]] of TALK.entries()) {
    await tabs[name].say(text);
    await wait(async () => (await ann.messages()).length === at + 1 && (await bob.messages()).length === at + 1);
  }
  check(equal(await ann.messages(), TALK) && equal(await bob.messages(), TALK), 'a whole conversation, the same for both', await ann.messages());
  check(await ann.js(() => {
    const box = document.querySelector('.chatup-messages');
    return box.scrollHeight - box.scrollTop - box.clientHeight < 2;
  }), 'the list follows the newest message');
  await screenshots(ann, 'talk');
  const guest = await Tab.open(browser, `${server.url}/?room=garden`);
  await checkSoon(async () => equal(await guest.texts(), TALK.map(([, text]) => text)), 'a guest reads along', () => guest.texts());
  await checkSoon(async () => await guest.counts() === '2 people, 1 guest', 'and is counted', () => guest.counts());
  await screenshots(guest, 'guest');
  /* Who has scrolled up stays there, is told how much is new, and where it begins. */
  await guest.page.setViewportSize({ width: 390, height: 500 });
  await guest.js(() => { document.querySelector('.chatup-messages').scrollTop = 0; });
  await ann.say('one more');
  await ann.say('and another');
  await checkSoon(async () => await guest.page.locator('.chatup-newer').textContent() === '↓ 2 new messages', 'who has scrolled up is told what is new',
                  () => guest.page.locator('.chatup-newer').textContent());
  check(await guest.js(() => document.querySelector('.chatup-messages').scrollTop) === 0, 'and stays where they were');
  check(await guest.page.locator('.chatup-unread + .chatup-message .chatup-text').textContent() === 'one more', 'a line shows where the new begins');
  await guest.page.locator('.chatup-newer').click();
  await checkSoon(() => guest.page.locator('.chatup-newer').isHidden(), 'one click leads to the end');
  await guest.page.locator('.chatup-people-toggle').click();
  check(await guest.page.locator('.chatup-people').isVisible(), 'on a phone a button shows who is here');
  check(equal(guest.problems(), []), 'the console is clean', guest.problems());
  await guest.close();
}

async function moderation(server, browser, ann) {
  const mod = await Tab.open(browser, `${server.url}/?room=garden&room=lobby`);
  await wait(() => mod.isOpen());
  await mod.page.locator('#moderate').click();
  const panel = (form) => mod.page.locator(`#${form}`);
  const outcome = () => mod.page.locator('#outcome').textContent();
  await panel('words-form').locator('[name=word]').fill('weeds');
  await panel('words-form').getByText('Block').click();
  await checkSoon(async () => /weeds/.test(await mod.page.locator('#words').textContent()), 'a moderator blocks a word', outcome);
  await checkSoon(async () => { /* every loop of the server has it some moments later */
    if (await ann.page.locator('.chatup-input').inputValue() === '')
      await ann.say('so many weeds');
    return /not allowed/.test(await ann.notice());
  }, 'who says it is told, and has it back to mend', () => ann.notice());
  check(await ann.page.locator('.chatup-input').inputValue() === 'so many weeds', 'it is still in the composer');
  await panel('words-form').locator('[name=word]').fill('weeds');
  await panel('words-form').getByText('Replace').click();
  await checkSoon(async () => /Replaced: weeds/.test(await mod.page.locator('#words').textContent()), 'or has it replaced', outcome);
  await panel('words-form').locator('[name=word]').fill('weeds');
  await panel('words-form').getByText('Allow').click();
  await checkSoon(async () => await mod.page.locator('#words').textContent() === '', 'and allows it again', outcome);
  await panel('post-form').locator('[name=channel]').fill('garden');
  await panel('post-form').locator('[name=msg]').fill('The garden closes at ten.');
  await panel('post-form').locator('button').click();
  await checkSoon(async () => equal((await ann.messages()).at(-1), ['Server', 'The garden closes at ten.']), 'a moderator posts as the server', outcome);
  for (const [channel, msg, whom] of [['news', 'For all', 'all'], ['user:demo:Ann', 'For Ann alone', 'one person']]) {
    await panel('post-form').locator('[name=channel]').fill(channel);
    await panel('post-form').locator('[name=msg]').fill(msg);
    await panel('post-form').locator('button').click();
    await checkSoon(async () => (await ann.page.locator('.notification p').allTextContents()).includes(msg), `a notification for ${whom} arrives`, outcome);
  }
  check(!(await mod.page.locator('.notification p').allTextContents()).includes('For Ann alone'), 'and nobody else gets hers');
  await panel('ban-form').locator('[name=name]').fill('Ann');
  await panel('ban-form').locator('[name=room]').fill('garden');
  await panel('ban-form').locator('[name=reason]').fill('too many weeds');
  await panel('ban-form').locator('option').first().evaluate((option) => { option.value = '15'; });
  await panel('ban-form').getByText('Ban', { exact: true }).last().click();
  await checkSoon(async () => /You are banned from this room for another \d+ s · Reason: too many weeds/.test(await ann.notice()),
                  'who is banned is told for how long, and why', () => ann.notice());
  check(await ann.page.locator('.chatup-input').isDisabled(), 'and cannot write');
  await checkSoon(async () => (await mod.messages()).every(([name]) => name !== 'Ann'), 'what they said is gone from all pages', () => mod.messages());
  check((await server.history('garden')).every(({ user }) => user.name !== 'Ann'), 'and from the history');
  await mod.page.setViewportSize({ width: 1500, height: 900 });
  await mod.page.screenshot({ path: 'build/screenshots/moderator.png' });
  await screenshots(ann, 'banned');
  await panel('ban-form').getByText('Lift ban').click();
  await checkSoon(async () => /may speak again/.test(await outcome()), 'a ban is lifted', outcome);
  await checkSoon(async () => !await ann.page.locator('.chatup-input').isDisabled(), 'in time the page lets them write again');
  check(equal(mod.problems(), []), 'the console is clean', mod.problems());
  await mod.close();
}

async function slowDown(home, browser) {
  const server = await new Server(home, 'limited', { yaml: 'limits:\n  burst: 4s\n  says_per_user: 1\n' }).start();
  const ann = await Tab.open(browser, `${server.url}/?room=lobby`);
  await wait(() => ann.isOpen());
  await ann.enter('Ann');
  await wait(() => ann.talks());
  await ann.js(() => {
    for (const text of ['one', 'two', 'three', 'four', 'five', 'six']) {
      document.querySelector('.chatup-input').value = text;
      document.querySelector('.chatup-composer').requestSubmit();
    }
  });
  await checkSoon(async () => /writing too fast.*\d+ s/.test(await ann.notice()), 'who writes too fast is told how long to wait', () => ann.notice());
  await checkSoon(async () => !await ann.page.locator('.chatup-input').isDisabled() && await ann.notice() === '', 'and may go on after that');
  await ann.close();
  await server.kill();
}

async function notADemo(home, browser) {
  const server = await new Server(home, 'plain', { demo: false }).start();
  const tab = await Tab.open(browser, `${server.url}/?room=lobby`);
  await checkSoon(async () => await tab.status() === 'connected', 'a server that is no demo can be read', () => tab.notice());
  await tab.enter('Ann');
  await checkSoon(async () => /gives no tokens/.test(await tab.notice()), 'and says that it gives no tokens', () => tab.notice());
  await tab.close();
  await server.kill();
}

await story(async ({ home, browser }) => {
  const server = await new Server(home, 'demo').start();
  const { ann, bob } = await twoPeople(server, browser);
  await hostileTexts(server, browser, ann);
  await killedAndRestarted(server, ann, bob);
  await pictures(server, browser, ann, bob);
  await moderation(server, browser, ann);
  for (const tab of [ann, bob])
    check(equal(tab.problems(), []) && await tab.js(() => window.alerts) === 0, 'the console is clean', tab.problems());
  await server.kill();
  await slowDown(home, browser);
  await notADemo(home, browser);
});
