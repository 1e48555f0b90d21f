"""A causal LM: the likelihood of texts, and continuations sampled from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from attacks.queries import Continuation
from corpus.records import Conversation
from miner.checkpoints.chat_templates import render_chat
from miner.errors import ModelError, TooLongError
from miner.language_models.batches import LOGITS_PER_BATCH, batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Continuations of one prompt, and how many tokens the LM wrote for them, end marks included."""

    continuations: tuple[Continuation, ...]
    policy_tokens: int


@dataclass(frozen=True, slots=True)
class _TextWindow:
    """Token ids of (a part of) a text behind the start token; the first ``seen`` of them are only context."""

    text: int
    order: int
    ids: tuple[int, ...]
    seen: int


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A causal LM with its tokenizer.

    ``fingerprint`` names weights, config and tokenizer; ``dtype`` is what it runs in; ``max_length`` counts tokens, the
    start token among them.
    """

    name: str
    fingerprint: str
    dtype: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    start_token: int
    end_tokens: tuple[int, ...]
    max_length: int

    def token_nll(self, texts: Sequence[str]) -> list[Floats]:
        """Negative log-likelihood of each token, in nats, given the start token and what precedes it.

        One array per text, in order, empty for the empty text. Neither the order of the texts nor their company
        matters beyond rounding. A text over the maximum length is read in windows that overlap by half.
        """
        windows = [window for index, ids in enumerate(self._encode(texts)) for window in self._windows(index, ids)]
        parts: list[dict[int, Floats]] = [{} for _ in texts]
        for batch in batches(self.model, [[self.start_token, *window.ids] for window in windows]):
            with torch.inference_mode():
                logits = self.model(input_ids=batch.ids).logits[:, :-1].flatten(0, 1).float()
                nll = torch.nn.functional.cross_entropy(logits, batch.ids[:, 1:].flatten(), reduction="none")
            values = nll.double().cpu().numpy().reshape(len(batch.places), -1)
            for place, length, row in zip(batch.places, batch.lengths, values, strict=True):
                window = windows[place]
                parts[window.text][window.order] = row[window.seen : length - 1]
        return [np.concatenate([found[k] for k in sorted(found)]) if found else np.zeros(0) for found in parts]

    def sample(
        self,
        prompt: Conversation,
        n: int,
        *,
        seed: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        prefix: str = "",
    ) -> Samples:
        """``n`` continuations of ``prompt``: the same for the same seed, global generators untouched.

        With ``prefix``, the beginning of a response, they are what is written after it; their texts are without it.

        ``log_probability`` is under the distribution that was sampled from, temperature applied, the
        end mark counted.

        Raises:
            TooLongError: prompt and continuation together exceed the maximum length.
        """
        ids = [*self.prompt_ids(prompt), *self.response_ids([prefix])[0]]
        if len(ids) + max_new_tokens > self.max_length:
            raise TooLongError(
                f"prompt of {len(ids)} tokens and {max_new_tokens} new ones exceed the {self.max_length} that "
                f"{self.name} reads. Lower max_new_tokens"
            )
        rows = max(1, LOGITS_PER_BATCH[self.model.device.type] * 4 // (self.model.config.vocab_size * max_new_tokens))
        continuations: list[Continuation] = []
        policy_tokens = 0
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for start in range(0, n, rows):
                batch, tokens = self._generate(ids, min(rows, n - start), max_new_tokens, temperature)
                continuations += batch
                policy_tokens += tokens
        return Samples(continuations=tuple(continuations), policy_tokens=policy_tokens)

    def next_tokens(
        self, prompt: Conversation, prefixes: Sequence[str], k: int
    ) -> tuple[tuple[tuple[Continuation, ...], ...], int]:
        """Per prefix of a response its ``k`` likeliest next tokens, best first, and how many tokens were read.

        A continuation's text is the prefix with the token, its ``log_probability`` the token's alone. End marks, and
        tokens that add nothing that can be seen, are left out; so are prefixes that leave no room, which get none.
        """
        head, written = self.prompt_ids(prompt), self.response_ids(prefixes)
        fits = [i for i, ids in enumerate(written) if len(head) + len(ids) < self.max_length]
        answers: list[tuple[Continuation, ...]] = [()] * len(prefixes)
        rows = max(1, LOGITS_PER_BATCH[self.model.device.type] // self.model.config.vocab_size)
        for start in range(0, len(fits), rows):
            batch = fits[start : start + rows]
            log_p = self._next_log_p([[*head, *written[i]] for i in batch])
            values, tokens = log_p.topk(min(2 * k, log_p.shape[1]), dim=1)
            for i, of_prefix, ids in zip(batch, values.tolist(), tokens.tolist(), strict=True):
                answers[i] = self._continued(prefixes[i], written[i], ids, of_prefix)[:k]
        return tuple(answers), sum(len(head) + len(written[i]) for i in fits)

    def _next_log_p(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Log-probabilities of the token after each row: (n_rows, vocabulary)."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self.start_token] * (longest - len(row))] for row in rows])
        last = torch.tensor([len(row) - 1 for row in rows], device=self.model.device)
        with torch.inference_mode():
            backbone: Any = self.model.base_model
            hidden = backbone(input_ids=ids.to(self.model.device)).last_hidden_state  # right padding is inert
            model: Any = self.model
            head = model.get_output_embeddings()
            logits = head(hidden[torch.arange(len(rows), device=hidden.device), last])
        log_p: torch.Tensor = logits.float().log_softmax(-1)
        return log_p

    def _continued(
        self, prefix: str, written: list[int], tokens: list[int], log_p: list[float]
    ) -> tuple[Continuation, ...]:
        ended = set(self.end_tokens)
        texts = [str(self.tokenizer.decode([*written, token], skip_special_tokens=True)).strip() for token in tokens]
        return tuple(
            Continuation(text, value)
            for text, token, value in zip(texts, tokens, log_p, strict=True)
            if token not in ended and text != prefix
        )

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return encoded

    def _windows(self, text: int, ids: list[int]) -> Iterator[_TextWindow]:
        room = self.max_length - 1
        known = 0
        for order in count():
            start = max(0, known - room // 2)
            end = min(start + room, len(ids))
            if known == end:
                return
            yield _TextWindow(text, order, tuple(ids[start:end]), known - start)
            known = end

    def text(self, tokens: Sequence[int]) -> str:
        """What a continuation says: its tokens without marks and without the space before it."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def prompt_ids(self, prompt: Conversation) -> list[int]:
        """Token ids of a prompt up to where its response begins: by the chat template, or as bare text without one.

        Raises:
            ModelError: the chat template refuses the conversation.
        """
        if self.tokenizer.chat_template:
            try:
                text = render_chat(self.tokenizer, prompt, begin_answer=True)
            except ModelError as error:
                raise ModelError(
                    f"{self.name}: its {error}. Give prompts that it takes, or take the template out of the tokenizer"
                ) from error
            return self._encode([text])[0]  # the template writes its own start token
        # No trailing space: a byte-level word starts with its space, so that the LM has to write it.
        return [self.start_token, *self._encode(["\n".join(turn.content for turn in prompt)])[0]]

    def response_ids(self, responses: Sequence[str]) -> list[list[int]]:
        """Token ids of responses, or of what is written of them, where they follow a prompt."""
        gap = "" if self.tokenizer.chat_template else " "
        return self._encode([gap + response if response else "" for response in responses])

    def _generate(
        self, ids: list[int], n: int, max_new_tokens: int, temperature: float
    ) -> tuple[list[Continuation], int]:
        from transformers import GenerationConfig

        prompt = torch.tensor([ids], device=self.model.device).expand(n, -1)
        config = GenerationConfig(
            do_sample=True,
            temperature=temperature,
            top_p=1.0,
            top_k=0,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self.end_tokens) or None,
            pad_token_id=self.start_token,
            return_dict_in_generate=True,
            output_scores=True,
        )
        generate: Any = self.model.generate
        output = generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        written = output.sequences[:, len(ids) :]  # (n, n_new)
        scores = torch.stack(output.scores, dim=1).float()  # (n, n_new, vocabulary)
        log_p = scores.log_softmax(-1).gather(-1, written[:, :, None])[:, :, 0]
        counted = self._until_end(written)
        totals = torch.where(counted, log_p, 0.0).double().sum(1).tolist()
        texts = [
            str(self.tokenizer.decode(row[kept], skip_special_tokens=True)).strip()
            for row, kept in zip(written, counted, strict=True)
        ]
        return [Continuation(text, total) for text, total in zip(texts, totals, strict=True)], int(counted.sum())

    def _until_end(self, written: torch.Tensor) -> torch.Tensor:
        """True for the tokens up to and with the first end mark, shape (n, n_new)."""
        ends = torch.isin(written, torch.tensor(self.end_tokens, dtype=written.dtype, device=written.device))
        return (ends.cumsum(1) - ends.int()) == 0
