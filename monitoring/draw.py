#!/usr/bin/env python3
"""Draws the panels of grafana/watchbell.json as a page, from a Prometheus, without Grafana: to look at the queries.

    monitoring/draw.py http://127.0.0.1:9090 panels.html [minutes]

A panel whose query has no answer says so. Lines have the unit that the panel names; nothing else of Grafana is imitated.
"""
import html
import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

WIDTH, HEIGHT, POINTS = 380, 150, 120
COLOURS = ["#3b78c2", "#c2603b", "#3ba66b", "#8a5cc2", "#b59a2a", "#c23b7a", "#2a9db5", "#777777"]


def asked(prometheus, path, **parameters):
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
        return json.load(answer)["data"]["result"]


def legend(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form or ", ".join(labels.values()) or "value"


def with_unit(value, unit):
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:.3g}" + {"s": " s", "ops": "/s"}.get(unit, "")


def lines(panel, prometheus, begin, end):
    step = max((end - begin) / POINTS, 1)
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "15s")
        for series in asked(prometheus, "query_range", query=query, start=begin, end=end, step=step):
            points = [(at, float(value)) for at, value in series["values"]]
            points = [(at, value) for at, value in points if value == value and abs(value) != float("inf")]
            labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
            if points:
                yield legend(target.get("legendFormat", ""), labels), points


def drawn(panel, prometheus, begin, end):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    found = list(lines(panel, prometheus, begin, end))
    title = f"<h3>{html.escape(panel['title'])}</h3>"
    if not found:
        return f"<figure>{title}<p class=none>no data</p></figure>"
    highest = max(max(value for _, value in points) for _, points in found)
    if panel["type"] in ("stat", "table"):
        values = [f"{html.escape(name)}: {with_unit(points[-1][1], unit)}" for name, points in found]
        return f"<figure>{title}<p class=value>{'<br>'.join(values)}</p></figure>"
    paths, names = [], []
    for number, (name, points) in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{(at - begin) / (end - begin) * WIDTH:.1f},{HEIGHT - value / (highest or 1) * (HEIGHT - 8):.1f}"
            for at, value in points
        )
        paths.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        names.append(f'<span style="color:{colour}">{html.escape(name)} {with_unit(points[-1][1], unit)}</span>')
    svg = f'<svg width="{WIDTH}" height="{HEIGHT}">{"".join(paths)}</svg>'
    return f"<figure>{title}<small>up to {with_unit(highest, unit)}</small>{svg}<figcaption>{' '.join(names)}</figcaption></figure>"


def main():
    prometheus, out = sys.argv[1].rstrip("/"), sys.argv[2]
    end = time.time()
    begin = end - 60 * float(sys.argv[3] if len(sys.argv) > 3 else 5)
    dashboard = json.loads((pathlib.Path(__file__).parent / "grafana/watchbell.json").read_text())
    page = ["<!doctype html><meta charset=utf-8><title>Watchbell</title><style>body{font:13px sans-serif;margin:16px}"
            "figure{display:inline-block;vertical-align:top;margin:6px;padding:8px;border:1px solid #ccc;width:380px}"
            "h3{margin:0;font-size:13px}svg{display:block;background:#fafafa}figcaption,small{font-size:11px}"
            ".value{font-size:18px}.none{color:#b00}</style>"]
    for panel in dashboard["panels"]:
        row = panel["type"] == "row"
        page.append(f"<h2>{panel['title']}</h2>" if row else drawn(panel, prometheus, begin, end))
    pathlib.Path(out).write_text("\n".join(page))


main()
