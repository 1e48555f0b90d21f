"""Vocabularies that are the same in every process; what the library's WordPiece trainer picks is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, models


def train_wordpiece(
    tokenizer: Tokenizer, texts: Iterable[str], specials: Sequence[str], *, size: int, alphabet: Iterable[str] = ()
) -> None:
    """Give ``tokenizer`` a WordPiece model of every character, first and following, and of the commonest words and
    their ends, up to ``size`` pieces."""
    normalise, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    counts = Counter(word for text in texts for word, _ in split(normalise(text)))
    letters = sorted({letter for word in (*counts, *map(normalise, alphabet)) for letter in word if letter.strip()})
    for word, count in list(counts.items()):
        counts.update({f"##{word[-n:]}": count for n in (2, 3) if len(word) > n + 1})
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
    pieces = dict.fromkeys((*specials, *letters, *(f"##{letter}" for letter in letters), *ranked))
    tokenizer.model = models.WordPiece({piece: at for at, piece in enumerate(list(pieces)[:size])}, unk_token="[UNK]")
    tokenizer.add_special_tokens(list(specials))
