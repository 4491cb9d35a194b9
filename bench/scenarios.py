"""What bench/run measures: for each scenario, what chatup-load is asked for, and of which servers."""

EVERY = ("chatup", "chatup-commit", "chatup-no-gap", "chatup-tls", "raw-send", "raw-coalesce", "ws", "socketio", "nchan")
MAIN = ("chatup", "raw-send", "raw-coalesce", "ws", "socketio", "nchan")
CHATUP = ("chatup",)
LOOPS = ("chatup-2-loops",)  # as measured: beside the load generator, two cores have no room for a second loop
BATCHES = ("chatup", "chatup-500ms", "original")
BOTH = ("chatup", "chatup-commit", "chatup-plugins")


class Scenario:
    """`value` is the field of chatup-load's line that matters most, with its unit."""

    def __init__(self, name, title, value, unit, servers, load, quick=None, bare=False):
        self.name, self.title, self.value, self.unit = name, title, value, unit
        self.servers, self.load, self.quick, self.bare = servers, load, quick, bare


def fanout(name, title, servers, quick=None, **load):
    return Scenario(name, title, "cpu_us_per_delivery", "µs", servers, {"scenario": "fanout", **load}, quick)


def connect(name, title, servers, bare=False, quick=None, **load):
    return Scenario(name, title, "upgrades_per_cpu_second", "/s", servers, {"scenario": "connect", **load}, quick, bare)


def say(name, title, servers, quick=None, **load):
    return Scenario(name, title, "says_per_cpu_second", "/s", servers, {"scenario": "say", **load}, quick)


# `quick` is what differs with --quick; a scenario without it is left out there.
ALL = [
    fanout("flat", "flat out, 1 000 readers", EVERY + LOOPS, {}, readers=1000, window=32),
    fanout("flat-5000", "flat out, 5 000 readers", MAIN, readers=5000, window=32),
    fanout("flat-10000", "flat out, 10 000 readers", MAIN, readers=10000, window=32),
    fanout("deep", "flat out, 1 000 readers, 512 under way", ("chatup", "chatup-no-gap", "raw-coalesce", "nchan"),
           readers=1000, window=512),
    fanout("light", "20 messages a second, 1 000 readers", EVERY, {"seconds": 1}, readers=1000, rate=20, seconds=4),
    fanout("busy", "150 messages a second, 1 000 readers", EVERY, {}, readers=1000, rate=150),
    fanout("rooms", "1 000 rooms of 5 readers, 10 messages a second each", EVERY + LOOPS, {"rooms": 500},
           readers=5, rooms=1000, rate=10),
    # The window is far beyond what 500 ms gather; in 6 seconds there are 12 batches.
    fanout("batch-2000", "2 000 messages a second, 1 000 readers", BATCHES, readers=1000, rate=2000, window=100000, seconds=6),
    fanout("batch-500", "500 messages a second, 1 000 readers", BATCHES, readers=1000, rate=500, window=100000, seconds=6),
    fanout("batch-150", "150 messages a second, 1 000 readers", BATCHES, readers=1000, rate=150, window=100000, seconds=6),
    Scenario("idle", "memory of an idle reader", "kb_per_reader", "KB", MAIN + ("chatup-tls",),
             {"scenario": "idle", "readers": 10000, "publishers": 0}, {"readers": 5000}),
    Scenario("idle-publishers", "memory of an idle publisher", "kb_per_publisher", "KB", CHATUP,
             {"scenario": "idle", "readers": 0, "publishers": 10000}),
    Scenario("idle-rooms", "memory of a reader with a room of its own", "kb_per_reader", "KB", CHATUP,
             {"scenario": "idle", "readers": 10000, "rooms": 10000, "publishers": 0}),
    Scenario("many-rooms", "100 readers, 200 a second, with 100 000 idle rooms against none", "times_without", "x",
             CHATUP, {"scenario": "fanout", "readers": 100, "rate": 200, "idle-rooms": 100000, "seconds": 10}),
    Scenario("many-rooms-memory", "memory of an idle room, of 100 000", "kb_per_idle_room", "KB", CHATUP,
             {"scenario": "idle", "readers": 0, "publishers": 0, "idle-rooms": 100000}),
    connect("connect", "upgrades of readers", MAIN, quick={"readers": 6000}, readers=15000),
    connect("connect-bare", "bare upgrades", CHATUP, bare=True, quick={"publishers": 6000}, publishers=15000),
    connect("connect-backlog", "upgrades of readers who get 10 messages", CHATUP, readers=15000, backlog=10),
    Scenario("storm", "10 000 readers come back for 100 messages each, against their upgrades",
             "times_the_upgrades", "x", CHATUP, {"scenario": "storm", "readers": 10000, "backlog": 100},
             {"readers": 5000}),
    say("say", "says, one connection, 16 under way", BOTH, publishers=1, window=16),
    say("say-100", "says, 100 connections, 16 under way each", BOTH, {}, publishers=100, window=16),
    say("say-turns", "says, 100 connections, one under way each", BOTH, publishers=100, window=1),
]


class Target:
    """A promise: a figure of ours, perhaps held against another server's in the same scenario."""

    def __init__(self, text, scenario, server, limit, against=None, value=None, above=False):
        self.text, self.scenario, self.server, self.limit = text, scenario, server, limit
        self.against, self.value, self.above = against, value, above

    def measured(self, results):
        """None if it was not measured."""
        value = self.value or next(s for s in ALL if s.name == self.scenario).value
        ours = results.get((self.scenario, self.server), {}).get(value)
        theirs = results.get((self.scenario, self.against), {}).get(value) if self.against else 1
        return ours / theirs if ours is not None and theirs else None

    def met(self, figure):
        return figure >= self.limit if self.above else figure <= self.limit


TARGETS = [
    Target("flat out, 1 000 readers: CPU against coalescing", "flat", "chatup", 1.35, "raw-coalesce"),
    Target("the same without the gap", "flat", "chatup-no-gap", 1.35, "raw-coalesce"),
    Target("flat out, 5 000 readers", "flat-5000", "chatup", 1.35, "raw-coalesce"),
    Target("flat out, 10 000 readers", "flat-10000", "chatup", 1.35, "raw-coalesce"),
    Target("flat out, 512 under way", "deep", "chatup", 1.35, "raw-coalesce"),
    Target("20 a second: CPU against a send each", "light", "chatup", 1.10, "raw-send"),
    Target("20 a second: p99 against a send each", "light", "chatup", 1.0, "raw-send", "p99_ms"),
    Target("150 a second: CPU against a send each", "busy", "chatup", 0.5, "raw-send"),
    Target("150 a second: p99, ms", "busy", "chatup", 50, value="p99_ms"),
    Target("1 000 rooms: CPU against a send each", "rooms", "chatup", 1.3, "raw-send"),
    Target("2 000 a second, gap 500 ms: against a stack like the original's", "batch-2000", "chatup-500ms", 1.0, "original"),
    Target("the same, gap 20 ms", "batch-2000", "chatup", 2.0, "original"),
    Target("500 a second, gap 500 ms", "batch-500", "chatup-500ms", 1.0, "original"),
    Target("150 a second, gap 500 ms", "batch-150", "chatup-500ms", 1.0, "original"),
    Target("TLS against plain: flat out, 1 000 readers", "flat", "chatup-tls", 1.6, "chatup"),
    Target("TLS against plain: 20 a second", "light", "chatup-tls", 1.6, "chatup"),
    Target("TLS against plain: 150 a second", "busy", "chatup-tls", 1.6, "chatup"),
    Target("an idle reader, KB", "idle", "chatup", 2.3),
    Target("an idle publisher, KB", "idle-publishers", "chatup", 4),
    Target("a delivery with 100 000 idle rooms against one with none", "many-rooms", "chatup", 1.1),
    Target("bare upgrades per CPU second", "connect-bare", "chatup", 25000, above=True),
    Target("upgrades with a backlog per CPU second", "connect-backlog", "chatup", 18000, above=True),
    Target("storm: CPU against the upgrades alone", "storm", "chatup", 3),
    Target("says per CPU second, one connection", "say", "chatup", 120000, above=True),
    Target("says per CPU second, 100 connections", "say-100", "chatup", 120000, above=True),
    Target("the three plugins, 10 000 words, against none", "say", "chatup-plugins", 0.5, "chatup", above=True),
    Target("the same, 100 connections", "say-100", "chatup-plugins", 0.5, "chatup", above=True),
    Target("the same, one under way each", "say-turns", "chatup-plugins", 0.5, "chatup", above=True),
    Target("says per CPU second, one under way each", "say-turns", "chatup", 60000, above=True),
]
