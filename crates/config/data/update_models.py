#!/usr/bin/env python3
"""Writes models.json from the MIT-licensed model list inside the `litellm` package (see ATTRIBUTION.md).

    pip download --no-deps litellm
    python3 crates/config/data/update_models.py litellm-*.whl

The package is only read as an archive; nothing of it is installed or run.

Shape of models.json (short, as the file is part of the binary), one model a line:

    {"source": "litellm 1.109.1", "providers": {
    "anthropic": {
    "claude-x": [1000000, 128000, "iptrdsc"], …}}}

The three values are input tokens at most, output tokens at most (0: not known), and one letter each for

    i image  p PDF  a audio  v video       taken besides text
    I image  A audio  V video              given besides text
    t tools  r reasoning  d reasoning whose depth is an effort and not a number of tokens
    s structured output (JSON Schema)  c prompt cache  w web search
    e embeddings instead of an answer
    o reasoning that cannot be switched off  f sampling that cannot be chosen  u tools that cannot be forced

A dated name whose family says the same is left out: names are looked up by their family too. Azure sells OpenAI's
models, which the source describes better under their maker.
"""

import argparse
import json
import pathlib
import re
import zipfile

MEMBER = "litellm/model_prices_and_context_window_backup.json"

# Their provider → ours (a name of prices.json, or else a slug of providers.json5). Where several feed one of ours,
# the first to name a model wins.
PROVIDERS = {
    "anthropic": "anthropic",
    "openai": "openai",
    "text-completion-openai": "openai",
    "gemini": "google",
    "vertex_ai-language-models": "google",
    "vertex_ai-anthropic_models": "google",
    "vertex_ai-mistral_models": "google",
    "vertex_ai-llama_models": "google",
    "vertex_ai-embedding-models": "google",
    "bedrock_converse": "aws",
    "bedrock": "aws",
    "groq": "groq",
    "mistral": "mistral",
    "codestral": "mistral",
    "cohere_chat": "cohere",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "cerebras": "cerebras",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "baseten": "baseten",
    "cloudflare": "cloudflare",
    "together_ai": "together",
    "moonshot": "moonshotai",
    "minimax": "minimax",
    "zai": "zai",
    "voyage": "voyageai",
    "sambanova": "sambanova",
    "deepinfra": "deepinfra",
    "dashscope": "alibaba",
}

# What an answer of the unified API can come from.
MODES = {"chat", "responses", "completion", "embedding"}

PREFIX = re.compile(
    r"^(gemini|vertex_ai|groq|mistral|codestral|cohere|perplexity|deepseek|xai|cerebras|fireworks_ai|baseten"
    r"|cloudflare|together_ai|moonshot|minimax|zai|voyage|sambanova|deepinfra|dashscope"
    r"|text-completion-openai)/"
)
REGION = re.compile(r"^(us|us-gov|eu|apac|global|jp|au|in|ca)\.")
# Prices by size of the model, by deployment or by fine-tuning: not models.
NOT_A_MODEL = re.compile(r"(^|/)(together-ai-|fireworks-ai-|ft:|bedrock/|.*-x-|container$)|\*")
DATE = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|latest|default)$")


def name(key: str, provider: str) -> str | None:
    """The name the provider itself knows, or none if the key names no single model."""
    key = PREFIX.sub("", key)
    if provider == "aws":
        key = REGION.sub("", key)
    if provider == "perplexity" and "/" in key:
        return None  # others' models, of which it says less than their makers do
    return None if NOT_A_MODEL.search(key) else key


def letters(row: dict) -> str:
    taken = set(row.get("supported_modalities") or ())
    given = set(row.get("supported_output_modalities") or ())
    says = lambda field: row.get(f"supports_{field}") is True
    marks = {
        "i": says("vision") or says("image_input") or "image" in taken,
        "p": says("pdf_input"),
        "a": says("audio_input") or "audio" in taken,
        "v": says("video_input") or "video" in taken,
        "I": "image" in given,
        "A": says("audio_output") or "audio" in given,
        "V": "video" in given,
        "t": says("function_calling"),
        "r": says("reasoning"),
        "d": says("adaptive_thinking"),
        "s": says("response_schema") or says("native_structured_output"),
        "c": says("prompt_caching"),
        "w": says("web_search"),
        "e": row["mode"] == "embedding",
        "o": row.get("thinking_always_on") is True,
        "f": row.get("supports_sampling_params") is False,
        "u": row.get("supports_forced_tool_use") is False,
    }
    return "".join(letter for letter, holds in marks.items() if holds)


def count(value) -> int:
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0


def table(source: dict) -> dict:
    rank = list(PROVIDERS)
    rows = [row for row in source.items() if row[1].get("litellm_provider") in PROVIDERS and row[1].get("mode") in MODES]
    # A name without region first: it speaks for the others.
    rows.sort(key=lambda row: (rank.index(row[1]["litellm_provider"]), bool(REGION.match(row[0])), row[0]))
    providers: dict[str, dict] = {}
    for key, row in rows:
        provider = PROVIDERS[row["litellm_provider"]]
        if (model := name(key, provider)) is None:
            continue
        values = [count(row.get("max_input_tokens")), count(row.get("max_output_tokens")), letters(row)]
        if values == [0, 0, ""]:
            continue
        providers.setdefault(provider, {}).setdefault(model, values)
    for models in providers.values():
        for model in [model for model in models if DATE.search(model)]:
            if models.get(DATE.sub("", model)) == models[model]:
                del models[model]
    return providers


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("wheel", type=pathlib.Path, help="the downloaded package, litellm-<version>-….whl")
    wheel = arguments.parse_args().wheel
    with zipfile.ZipFile(wheel) as archive:
        source = json.loads(archive.read(MEMBER))
    providers = table(source)
    if missing := set(PROVIDERS.values()) - set(providers):
        raise SystemExit(f"no longer in the source: {', '.join(sorted(missing))}")
    version = wheel.name.split("-")[1]
    lines = [f'{{"source": "litellm {version}", "providers": {{']
    for index, (provider, models) in enumerate(sorted(providers.items())):
        lines.append(f"{json.dumps(provider)}: {{")
        rows = (f"{json.dumps(model)}:{json.dumps(row, separators=(',', ':'))}" for model, row in sorted(models.items()))
        lines.append(",\n".join(rows))
        lines.append("}" + ("," if index + 1 < len(providers) else ""))
    path = pathlib.Path(__file__).with_name("models.json")
    path.write_text("\n".join([*lines, "}}", ""]), encoding="utf-8")
    total = sum(len(models) for models in providers.values())
    print(f"{path.name}: {total} models of {len(providers)} providers, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
