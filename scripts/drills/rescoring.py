"""Stored rewards against plain transformers: text in, one logit out, nothing of ours between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from corpus.records import Conversation, Finding


def largest_difference(model: Path, findings: Sequence[Finding]) -> tuple[int, float]:
    """How many rewards the findings hold, of themselves and of their references, and by how much the RM in the folder
    disagrees with the worst of them: fp32, one text a batch."""
    score = plain_scorer(model)
    stored = [(one.prompt, one.response, one.reward) for one in findings]
    stored += [
        (one.prompt, one.reference, one.reference_reward)
        for one in findings
        if one.reference is not None and one.reference_reward is not None
    ]
    return len(stored), max((abs(score(prompt, text) - reward) for prompt, text, reward in stored), default=0.0)


def plain_scorer(model: Path) -> Callable[[Conversation, str], float]:
    """Conversation and response to a reward: by the chat template where there is one, else as a text pair."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rm = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)

    def score(prompt: Conversation, response: str) -> float:
        if tokenizer.chat_template:
            turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
            turns += [{"role": "assistant", "content": response}]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        else:
            inputs = tokenizer(prompt[-1].content, response, return_tensors="pt")
        with torch.inference_mode():
            return float(rm(**inputs).logits[0, 0])

    return score
