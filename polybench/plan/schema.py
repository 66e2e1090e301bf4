"""Files polybench writes for people who write suites: the JSON schema and a first suite."""

from __future__ import annotations

import json
from typing import Any

from polybench.plan.suite import Suite
from polybench.registry import activations, kinds
from polybench.spec import scalar


def schema_text() -> str:
    """The schema as it is committed beside the suites."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def starter(name: str) -> str:
    """A commented suite that runs as it stands, in about a minute."""
    clean = "".join(c if c.isalnum() or c in "._-" else "-" for c in name).lstrip(".-") or "suite"
    clean = clean if clean != "null" and isinstance(scalar(clean), str) else json.dumps(clean)  # 2024 is a number
    return f"""\
# A suite for polybench. Check it with `polybench validate`, see its trials with `polybench plan`.
suite: {clean}
description: One sentence on the question this suite answers.

# Known: {", ".join(activations.names())}. Options go in parentheses: polynorm(order=2).
activations: [gelu, swiglu, polynorm]
reference: swiglu            # the row every other is compared with
seeds: [0, 1, 2]             # repeats of everything random

# Kinds: {", ".join(kinds.names())}. A list in a matrix is measured value by value.
benchmarks:
  - name: speed
    kind: speed
    backends: [eager]        # also: compile, checkpoint
    dtypes: [float32]
    matrix: {{level: [activation, block], tokens: 1024, d_model: 128}}
    protocol: {{budget_s: 30}}    # seconds of a comparison
  - name: memory
    kind: memory
    matrix: {{level: block, tokens: 1024, d_model: 128}}
  - name: pretrain
    kind: pretrain
    matrix: {{corpus: sotu, tokenizer: bytes, steps: 60, lr: 0.005}}

# Judged within the run and printed with the answer.
claims:
  - {{metric: val_loss, subject: polynorm, better_than: swiglu}}

# Judged against an earlier run by `polybench gate --baseline RUN`.
gate:
  - {{metric: peak_bytes, tolerance: 0}}
  - {{metric: total_time, tolerance: 10%, where: {{level: block}}}}
"""


def json_schema() -> dict[str, Any]:
    """The JSON schema of a suite file, for editors."""
    schema = Suite.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "a suite beside this one; dictionaries merge, lists replace",
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "polybench suite"
    # What another file may supply is not required of this one.
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    by = schema["$defs"]["Claim"]["properties"]["by"]
    del by["anyOf"]
    by["type"] = ["number", "string", "null"]
    rule = schema["$defs"]["Rule"]["properties"]
    for share in (schema["properties"]["margin"], rule["tolerance"], rule["floor"]):
        share["type"] = ["number", "string"]  # such as 5%, or 2us
        share.pop("minimum", None)
    return schema
