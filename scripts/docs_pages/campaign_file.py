"""Every key of the campaign file, from the schema that checks it: type, range, default, and the table's docstring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from miner.config.campaign import CampaignConfig
from scripts.docs_pages.markdown import as_markdown, table

Schema = Mapping[str, Any]
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
TITLE = "top level"


def reference() -> str:
    """A heading, the docstring and a table of keys for the top level and for each table below it."""
    schema = CampaignConfig.model_json_schema()
    return "\n\n".join(_sections("", schema, schema["$defs"], {}))


def _sections(path: str, section: Schema, definitions: Schema, given: Schema) -> list[str]:
    """The section and those inside it. ``given`` are defaults that the table above sets for this one."""
    required, rows, inner = section.get("required", []), [], []
    for key, schema in section["properties"].items():
        place = f"{path}.{key}".lstrip(".")
        name, many = _table_of(schema)
        default = given.get(key, schema.get("default"))
        if name is not None:
            heading = f"[[{place}]]" if many else f"[{place}]"
            entries = ", ".join(f"`{one['name']}`" for one in default or ()) if many else ""
            rows.append((f"`{key}`", f"table `{heading}`", "**required**" if key in required else entries))
            inner += [f"## `{heading}`", *_sections(place, definitions[name], definitions, _mapping(default))]
        else:
            rows.append((f"`{key}`", _type(schema), "**required**" if key in required else _default(default)))
    keys = table(("key", "value", "default"), rows)
    intro = [as_markdown(_joined(section.get("description", "")))]
    return [*([] if path else [f"## {TITLE.capitalize()}"]), *filter(None, intro), keys, *inner]


def _table_of(schema: Schema) -> tuple[str | None, bool]:
    """The definition that a key's value is a table of, and whether there may be many."""
    for part in schema.get("anyOf", [schema]):
        if "$ref" in part:
            return str(part["$ref"]).rpartition("/")[2], False
        if part.get("type") == "array" and "$ref" in part.get("items", {}):
            return str(part["items"]["$ref"]).rpartition("/")[2], True
    return None, False


def _type(schema: Schema) -> str:
    parts = schema.get("anyOf", [schema])
    return " or ".join(dict.fromkeys(_one_type(part) for part in parts if part.get("type") != "null"))


def _one_type(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        fixed = schema.get("prefixItems")
        return f"list of {len(fixed)}: {_type(fixed[0])}" if fixed else f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        values = schema.get("additionalProperties")
        return f"table of {_type(values)}" if isinstance(values, Mapping) else "table"
    name = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[schema["type"]]
    bounds = [shown.format(schema[bound]) for bound, shown in BOUNDS.items() if bound in schema]
    pattern = [f"matching `{schema['pattern']}`"] if "pattern" in schema else []
    return ", ".join([name, *bounds, *pattern])


def _default(value: Any) -> str:
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _mapping(value: Any) -> Schema:
    return value if isinstance(value, Mapping) else {}


def _joined(text: str) -> str:
    """Paragraphs as one line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
