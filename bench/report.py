"""What bench/run shows: the table, the targets, the JSON, and the chart."""
import json
import os
import statistics
import time
from html import escape

import scenarios


def medians(runs):
    """{(scenario, server): {field: median of all rounds}}"""
    groups = {}
    for run in runs:
        groups.setdefault((run["name"], run["server"]), []).append(run)
    return {
        key: {field: statistics.median(run[field] for run in group if field in run)
              for field, value in group[0].items() if isinstance(value, (int, float)) and not isinstance(value, bool)}
        for key, group in groups.items()
    }


def short(value):
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(results, wanted, servers):
    """A row per scenario and server: the figure, what it is times the raw limits', latency."""
    lines = [f"\n{'':28}{'':>10}{'':4}{'x send':>8}{'x coal.':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'a second':>13}"]
    for scenario in wanted:
        lines.append(scenario.title)
        for server in servers:
            result = results.get((scenario.name, server.name))
            if not result:
                continue
            value = result[scenario.value]
            line = f"  {server.title:26}{short(value):>10}{scenario.unit:>4}"
            for raw in ("raw-send", "raw-coalesce"):
                limit = results.get((scenario.name, raw), {}).get(scenario.value)
                line += f"{short(value / limit) if limit else '':>8}"
            if scenario.load["scenario"] == "fanout":
                line += "".join(f"{short(result[key]):>9}" for key in ("p50_ms", "p99_ms", "max_ms"))
                line += f"{short(result['deliveries_per_second']):>13}"
            lost = [f"{result[key]:.0f} {key}" for key in ("gaps", "duplicates", "missing", "closed") if result[key]]
            lines.append(line + ("  " + ", ".join(lost) if lost else ""))
    return "\n".join(lines)


def targets(results):
    lines = ["", f"{'target':64}{'':3}{'limit':>9}{'measured':>10}"]
    for target in scenarios.TARGETS:
        figure = target.measured(results)
        if figure is not None:
            sign = ">=" if target.above else "<="
            verdict = "met" if target.met(figure) else "missed"
            lines.append(f"{target.text:64}{sign:3}{short(target.limit):>9}{short(figure):>10}  {verdict}")
    return "\n".join(lines) + "\n"


def document(runs, results, options):
    with open("/proc/cpuinfo") as cpus:
        model = next((line.split(":")[1].strip() for line in cpus if line.startswith("model name")), "?")
    return json.dumps({
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "model": model, "kernel": os.uname().release},
        "rounds": options.rounds,
        "quick": options.quick,
        "medians": {f"{scenario}/{server}": result for (scenario, server), result in results.items()},
        "targets": [
            {"text": target.text, "limit": target.limit, "measured": figure, "met": target.met(figure)}
            for target in scenarios.TARGETS if (figure := target.measured(results)) is not None
        ],
        "runs": runs,
    }, indent=1)


# ---- the chart ----

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .note { fill: #656d76 } .ours { fill: #0969da } .other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 } .ours { fill: #58a6ff } .other { fill: #6e7681 }
}"""

PANELS = [
    ("Server CPU per delivery, µs: flat out, 1 000 readers", "flat", "cpu_us_per_delivery"),
    ("Server CPU per delivery, µs: 150 messages a second, 1 000 readers", "busy", "cpu_us_per_delivery"),
    ("Latency, 99 of 100 messages, ms: 20 messages a second, 1 000 readers", "light", "p99_ms"),
    ("Latency, 99 of 100 messages, ms: 150 messages a second, 1 000 readers", "busy", "p99_ms"),
    ("Memory of the server per idle reader, KB", "idle", "kb_per_reader"),
]

WIDTH, LEFT, BAR, LINE = 760, 170, 14, 20


def panel(title, rows, top):
    """Bars for (name, value, ours), and the height that they took."""
    most = max(value for _, value, _ in rows) or 1
    parts = [f'<text class="title" x="0" y="{top + 14}">{escape(title)}</text>']
    for index, (name, value, ours) in enumerate(rows):
        y = top + 26 + index * LINE
        width = max(1, value / most * (WIDTH - LEFT - 70))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
                     f'<rect class="{"ours" if ours else "other"}" x="{LEFT}" y="{y}" width="{width:.1f}" '
                     f'height="{BAR}" rx="2"/>'
                     f'<text class="note" x="{LEFT + width + 6:.1f}" y="{y + 12}">{short(value)}</text>')
    return "\n".join(parts), 26 + len(rows) * LINE + 18


def chart(results, servers):
    body, top = [], 0
    for title, scenario, field in PANELS:
        rows = [(server.title, max(0, results[scenario, server.name][field]), server.dialect == "chatup")
                for server in servers if (scenario, server.name) in results]
        if rows:
            part, height = panel(title, rows, top)
            body.append(part)
            top += height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
            f"<title>ChatUp and other servers: less is better</title><style>{STYLE}</style>\n"
            + "\n".join(body) + "\n</svg>\n")
