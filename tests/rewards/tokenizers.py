"""Small tokenizers of the kinds that reward models come with, trained in-process on a few sentences."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.vocabularies import train_wordpiece

SENTENCES = [
    "Return the file descriptor of the given directory, following symbolic links.",
    "The answer is short and the answer is good; copy a tree of files to another place.",
    "What does this function do? It opens a file, reads the text and closes it again.",
    "Kindly tutor the mathematics servant, thank the video blogs and link the words.",
    "Numbers such as 12, 345 and 6789 count; punctuation (like this!) is split off.",
    "Ärger über größere Häuser, naïve café and 日本語 text with an emoji 🙂 or two 🎉.",
]
ALPHABET = sorted(set("".join(SENTENCES)) | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))


def byte_level(specials: list[str], *, post: processors.PostProcessor | None = None) -> Tokenizer:
    """GPT-2's and Llama-3's kind: bytes, the space carried by the token behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=520, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.post_processor = post or processors.ByteLevel(trim_offsets=True)
    return tokenizer


def metaspace(specials: list[str], *, prepend: bool) -> Tokenizer:
    """Llama-2's (``prepend``) and Gemma's kind: spaces are written ▁, what is unknown falls back to bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend("▁")] if prepend else []), normalizers.Replace(" ", "▁")]
    )
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*specials, *pieces], initial_alphabet=[*ALPHABET, "▁"], show_progress=False
    )
    words = [word for sentence in SENTENCES for word in sentence.split()]
    tokenizer.train_from_iterator([word if prepend else " " + word for word in words], trainer)
    return tokenizer


def wordpiece(specials: list[str]) -> Tokenizer:
    """BERT's kind, uncased, with entries that no text reaches."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    train_wordpiece(tokenizer, SENTENCES, specials, size=500, alphabet=ALPHABET)
    vocabulary = tokenizer.get_vocab()
    vocabulary |= {piece: len(vocabulary) + n for n, piece in enumerate(("[unused1]", "[unused2]"))}
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    return tokenizer


def unigram(specials: list[str]) -> Tokenizer:
    """DeBERTa-v2's kind: ▁ before every word, the first of a text included."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=specials, unk_token="[UNK]", initial_alphabet=ALPHABET, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    # The trainer's order and scores follow a hash that changes by process, and ids decide a piece's random embedding.
    # Of pieces that all score alike the fewest are taken.
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    ordered = sorted((piece, -1.0) for piece, _ in pieces if piece not in specials)
    tokenizer.model = models.Unigram([*((mark, 0.0) for mark in specials), *ordered], specials.index("[UNK]"), False)
    return tokenizer


def framed(tokenizer: Tokenizer, single: str, pair: str) -> Tokenizer:
    """Special tokens around one text or two, as ``TemplateProcessing`` writes them; offsets trimmed where bytes are."""
    names = {name for part in (single, pair) for name in part.split() if not name.startswith("$")}
    specials = [(name.split(":")[0], tokenizer.token_to_id(name.split(":")[0])) for name in sorted(names)]
    template = processors.TemplateProcessing(single=single, pair=pair, special_tokens=sorted(set(specials)))
    if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    else:
        tokenizer.post_processor = template
    return tokenizer


def fast(
    tokenizer: Tokenizer, *, types: bool = False, template: str | None = None, **specials: str
) -> PreTrainedTokenizerFast:
    names = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=names, model_max_length=256, **specials
    )
    if template is not None:
        wrapped.chat_template = template
    return wrapped
