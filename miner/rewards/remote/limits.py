"""How often and for how much a remote RM may be asked, by all threads together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from miner.errors import BudgetExceededError

SECONDS_PER_MINUTE = 60.0


@dataclass(kw_only=True)
class RateLimiter:
    """A token bucket of one token, refilled ``per_minute`` times a minute: no minute ever sees more requests.

    None is without limit.
    """

    per_minute: float | None
    clock: Callable[[], float]
    _free_at: float = field(default=float("-inf"), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def reserve(self) -> float:
        """Take the next token; the seconds until it is there."""
        if self.per_minute is None:
            return 0.0
        with self._lock:
            now = self.clock()
            turn = max(now, self._free_at)
            self._free_at = turn + SECONDS_PER_MINUTE / self.per_minute
            return turn - now


@dataclass(kw_only=True)
class Meter:
    """What was asked and spent, and the ceilings. Every request sent counts, also one that fails."""

    max_requests: int | None = None
    max_cost: float | None = None
    price_per_1k_tokens: float | None = None
    requests: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def cost(self) -> float:
        return self._cost_of(self.tokens)

    def reserve(self, tokens: int) -> None:
        """Count a request that may take ``tokens``.

        Raises:
            BudgetExceededError: it would pass a ceiling; it is not counted.
        """
        with self._lock:
            if self.max_requests is not None and self.requests >= self.max_requests:
                raise BudgetExceededError(self._message(f"rm.remote.max_requests={self.max_requests} is reached"))
            if self.max_cost is not None and self._cost_of(self.tokens + tokens) > self.max_cost:
                raise BudgetExceededError(
                    self._message(f"the next request would pass rm.remote.max_cost={self.max_cost:g}")
                )
            self.requests += 1
            self.tokens += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Put what a request did take in place of what was reserved for it."""
        with self._lock:
            self.tokens += used - reserved

    def _cost_of(self, tokens: int) -> float:
        return tokens / 1000 * (self.price_per_1k_tokens or 0.0)

    def _message(self, reached: str) -> str:
        cost = f", cost {self.cost:.4g}" if self.price_per_1k_tokens else ""
        return (
            f"{reached}: {self.requests} requests, {self.tokens} tokens{cost} in this run. What was stored is intact; "
            "the same command goes on where this stopped, with a new allowance"
        )
