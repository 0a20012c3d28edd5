#!/usr/bin/env python3
"""Writes prices.json from the MIT-licensed `genai-prices` data (see ATTRIBUTION.md).

    python3 -m venv /tmp/prices && /tmp/prices/bin/pip install genai-prices
    /tmp/prices/bin/python crates/config/data/update_prices.py [--as-of 2026-11-22]

Shape of prices.json (short names, as the file is part of the binary):

    {"as_of": "2026-11-22", "source": "genai-prices 0.2.3",
     "providers": {"anthropic": {"fallback": ["openai"], "models": [
        {"id": "claude-x", "match": MATCH, "context": 200000, "prices": [PRICE, …]}]}}}

MATCH is one of
    "=text"   is exactly          "^text"  starts with       "$text"  ends with        "~text"  contains
    "#text"   is exactly, where each `#` stands for a digit and a final `*` for anything
    [MATCH, …] any of these       {"and": [MATCH, …]} all of these       {"not": MATCH}
PRICE holds nano-USD per million tokens: `in`, `out`, `cr` (cache read), `cw` (cache write), `cw1` (one-hour
cache write), `rs` (reasoning), each left out where the source has none; `req` is nano-USD per request;
`from` the first UTC day, `utc` the [start, end) minutes of the UTC day it holds for; `tiers` are
[tokens, PRICE] rows for calls with more input tokens than that. Of several prices the last that holds wins.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import re
from decimal import ROUND_HALF_UP, Decimal

try:
    from re import _parser as sre
except ImportError:
    import sre_parse as sre

from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

# The price providers that rows of providers.json5 name, and those they fall back to.
KEPT = (
    "anthropic aws azure baseten cerebras cloudflare cohere deepseek fireworks google groq minimax mistral "
    "moonshotai openai openrouter perplexity together voyageai x-ai zai"
).split()

RATES = {
    "input_mtok": "in",
    "output_mtok": "out",
    "cache_read_mtok": "cr",
    "cache_write_mtok": "cw",
    "cache_write_1h_mtok": "cw1",
    "output_reasoning_mtok": "rs",
}

# "no part `-tts`": the one look-ahead the source uses.
NO_TTS = "^(?!.*-[tT][tT][sS](?:$|-))"


def whole(usd: Decimal, nano: int) -> int:
    """USD as an integer. Some sources give thirds with sixteen digits: what is below a nano-USD is rounded half up."""
    return int((usd * nano).to_integral_value(rounding=ROUND_HALF_UP))


def match(clause):
    match clause:
        case ClauseEquals():
            return "=" + clause.equals.lower()
        case ClauseStartsWith():
            return "^" + clause.starts_with.lower()
        case ClauseEndsWith():
            return "$" + clause.ends_with.lower()
        case ClauseContains():
            return "~" + clause.contains.lower()
        case ClauseOr():
            parts = []
            for part in clause.or_:
                part = match(part)
                parts.extend(part if isinstance(part, list) else [part])
            return parts[0] if len(parts) == 1 else parts
        case ClauseAnd():
            return {"and": [match(part) for part in clause.and_]}
        case ClauseRegex(regex=r) if r == NO_TTS:
            return {"not": ["~-tts-", "$-tts"]}
        case ClauseRegex():
            return ["#" + glob for glob in globs(clause.regex)]
    raise SystemExit(f"unknown clause {clause!r}")


def globs(regex: str) -> list[str]:
    """All texts a simple anchored expression stands for, digits written `#`."""
    parsed = list(sre.parse(regex.lower().replace("\\D", "\\d")))
    if not parsed or str(parsed[0][0]) != "AT":
        raise SystemExit(f"not anchored: {regex}")
    return expand(parsed, regex, top=True)


def expand(items, regex, top=False):
    texts = [""]
    ended = False
    for operation, argument in items:
        match str(operation):
            case "AT":
                ended = ended or "END" in str(argument)
                continue
            case "LITERAL":
                choices = [chr(argument)]
            case "IN" if str(argument[0][0]) == "CATEGORY" and "DIGIT" in str(argument[0][1]):
                choices = ["#"]
            case "IN" if all(str(kind) == "LITERAL" for kind, _ in argument):
                choices = [chr(code) for _, code in argument]
            case "MAX_REPEAT":
                low, high, body = argument
                if int(high) > 12:
                    raise SystemExit(f"unbounded: {regex}")
                inner = expand(list(body), regex)
                choices = [text * count for count in range(int(low), int(high) + 1) for text in inner]
            case "SUBPATTERN":
                choices = expand(list(argument[3]), regex)
            case other:
                raise SystemExit(f"{other} in {regex}")
        texts = [text + choice for text in texts for choice in choices]
    return [text + "*" for text in texts] if top and not ended else texts


def at(value, threshold: int) -> Decimal:
    """The rate for calls with more input tokens than `threshold`."""
    if not isinstance(value, TieredPrices):
        return value
    rate = value.base
    for tier in value.tiers:
        if tier.start <= threshold:
            rate = tier.price
    return rate


def price(source: ModelPrice) -> dict:
    values = {RATES[key]: value for key, value in source.__dict__.items() if key in RATES and value is not None}
    starts = sorted({tier.start for value in values.values() if isinstance(value, TieredPrices) for tier in value.tiers})
    row = {
        name: whole(value.base if isinstance(value, TieredPrices) else value, 10**9) for name, value in values.items()
    }
    if (request := source.__dict__.get("requests_kcount")) is not None:
        row["req"] = whole(request, 10**6)
    if starts:
        row["tiers"] = [
            [start, {name: whole(at(value, start), 10**9) for name, value in values.items()}] for start in starts
        ]
    return row


def constrained(condition) -> dict:
    row = price(condition.prices)
    match condition.constraint:
        case StartDateConstraint(start_date=day):
            row["from"] = day.isoformat()
        case TimeOfDateConstraint(start_time=start, end_time=end):
            if any(time.utcoffset() not in (None, datetime.timedelta(0)) for time in (start, end)):
                raise SystemExit("a time of day that is not UTC")
            row["utc"] = [start.hour * 60 + start.minute, end.hour * 60 + end.minute]
        case None:
            pass
        case other:
            raise SystemExit(f"unknown constraint {other!r}")
    return row


def model(source) -> dict | None:
    if isinstance(source.prices, ModelPrice):
        prices = [price(source.prices)]
    else:
        prices = [constrained(condition) for condition in source.prices]
    if not any("in" in row or "out" in row for row in prices):
        return None
    row = {"id": source.id, "match": match(source.match), "prices": prices}
    if source.context_window:
        row["context"] = source.context_window
    return row


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--as-of", default=datetime.date.today().isoformat(), help="the day the prices were taken")
    as_of = arguments.parse_args().as_of
    table = {}
    for provider in sorted(providers, key=lambda provider: provider.id):
        if provider.id in KEPT:
            row = {"models": [row for source in provider.models if (row := model(source))]}
            if provider.fallback_model_providers:
                row["fallback"] = provider.fallback_model_providers
            table[provider.id] = row
    if missing := set(KEPT) - set(table):
        raise SystemExit(f"no longer in the source: {', '.join(sorted(missing))}")
    version = importlib.metadata.version("genai-prices")
    path = pathlib.Path(__file__).with_name("prices.json")
    head = {"as_of": as_of, "source": f"genai-prices {version}"}
    # One model a line, so that a change of price is one changed line.
    lines = [json.dumps(head)[:-1] + ', "providers": {']
    for index, (name, row) in enumerate(table.items()):
        fallback = f'"fallback": {json.dumps(row["fallback"])}, ' if "fallback" in row else ""
        lines.append(f'{json.dumps(name)}: {{{fallback}"models": [')
        lines.append(",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in row["models"]))
        lines.append("]}" + ("," if index + 1 < len(table) else ""))
    path.write_text("\n".join([*lines, "}}", ""]), encoding="utf-8")
    count = sum(len(row["models"]) for row in table.values())
    print(f"{path.name}: {count} models of {len(table)} providers, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
