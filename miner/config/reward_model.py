"""The tables of the campaign file that describe the reward model: what it is, how it is read, how it is asked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)

from miner.config.kinds import REWARD_MODELS, read_by_kind
from miner.config.published_models import with_known
from miner.errors import ConfigError

DType = Literal["auto", "float32", "bfloat16", "float16"]
TrainingDType = Literal["auto", "float32", "bfloat16"]  # float16 would need its gradients scaled

PINNED_DATE = date(2024, 7, 26)  # what templates write that are given no date: Llama 3.1's and 3.2's own constant

ASKING_TABLES = ("pairwise", "judge", "process")  # kinds of RM with a table of their own


CLASSIFIERS_OWN = ("base", "adapter", "tokenizer", "template", "quantise", "device_map", "offload_folder")


class ConfigSection(BaseModel):
    """A table of the campaign file: unknown keys and empty texts are errors, values are fixed once read.

    An empty path would be the current folder, an empty name nothing at all; ``may_be_empty`` names the keys of which
    that is not so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    may_be_empty: ClassVar[tuple[str, ...]] = ()

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: Any, field: ValidationInfo) -> Any:
        several = isinstance(value, (list, tuple))
        if field.field_name not in cls.may_be_empty and (value == "" or (several and "" in value)):
            raise ValueError("an empty text. Give it a value, or leave it out")
        return value


class HeadSection(ConfigSection):
    """Between an RM's hidden states and its reward, where that is not a sequence classifier's one label.

    ``weights`` names the head in the checkpoint ("v_head"); its layers are read off the tensors' shapes, ``activation``
    stands between them. ``backbone`` is the model type of what is below it, where transformers does not know the one
    in config.json. ``read_at`` is "last", "first", "mean" or "last_token_id:N"; ``append_token`` ends every text.
    ``objectives`` weigh several values into one, by name, index or as a list. ``output`` is what to take of what a
    model's own code returns: an attribute or an index.
    """

    weights: str | None = Field(None, pattern=r"^\w+(\.\w+)*$")
    activation: Literal["relu", "gelu", "silu", "selu", "tanh"] | None = None
    backbone: str | None = None
    read_at: str | None = Field(None, pattern=r"^(last|first|mean|last_token_id:\d+)$")
    append_token: int | str | None = None
    objectives: dict[str, float] | tuple[float, ...] | None = None
    output: int | str | None = None


class RemoteJudgeSection(ConfigSection):
    """How an LLM is asked for a score from ``low`` to ``high``: a ``template`` with {prompt}, {response}, {low}
    and {high} (None: ours).

    ``logprobs`` takes the mean over the likely scores instead of the one that was written. ``asks``: how often, before
    an answer that is no score counts as none.
    """

    template: str | None = None
    low: int = 0
    high: int = 10
    logprobs: bool = False
    asks: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _usable(self) -> RemoteJudgeSection:
        if self.low >= self.high:
            raise ValueError(f"low must be below high; got {self.low} and {self.high}")
        if self.logprobs and (self.low < 0 or self.high > 9):
            raise ValueError("logprobs needs scores of one digit: set low and high within 0 to 9")
        for field in ("{prompt}", "{response}"):
            if self.template is not None and field not in self.template:
                raise ValueError(f"the template does not say where the {field} goes")
        return self


class RemoteSection(ConfigSection):
    """How a remote RM is asked. ``key_env`` names the environment variable with the API key, which is stored nowhere.

    ``protocol`` "scores" is that of ``rmminer serve``; "pooling", vLLM's, and "openai", an LLM asked as ``judge`` says,
    need the ``model``'s name there. ``batch`` texts a request, ``concurrency`` requests at once,
    ``requests_per_minute`` at most. A request may take ``timeout_s``; one that fails is sent ``retries`` times more,
    for ``give_up_s`` at most. ``max_requests`` and ``max_cost`` (in the currency of ``price_per_1k_tokens``) are
    ceilings of one run of the command. ``tokenizer``: a folder, for edits of its tokens.
    """

    protocol: Literal["scores", "openai", "pooling"] = "scores"
    model: str | None = None
    key_env: str | None = None
    concurrency: int = Field(8, ge=1, le=256)
    batch: int = Field(64, ge=1)
    timeout_s: float = Field(60.0, gt=0)
    retries: int = Field(6, ge=0)
    give_up_s: float = Field(300.0, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)
    max_requests: int | None = Field(None, ge=1)
    max_cost: float | None = Field(None, gt=0)
    price_per_1k_tokens: float | None = Field(None, ge=0)
    tokenizer: str | None = None
    judge: RemoteJudgeSection = RemoteJudgeSection()

    @model_validator(mode="after")
    def _complete(self) -> RemoteSection:
        if self.key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_env):
            raise ValueError("key_env is no name of an environment variable. Give the name there, never the key itself")
        if self.protocol != "scores" and self.model is None:
            raise ValueError(f"protocol {self.protocol!r} needs the name of the model: --set rm.remote.model=NAME")
        if self.max_cost is not None and not self.price_per_1k_tokens:
            raise ValueError("max_cost needs a price: --set rm.remote.price_per_1k_tokens=PRICE")
        return self


def _require_slots(table: str, template: str, slots: Sequence[str]) -> None:
    for slot in slots:
        if template.count(f"{{{slot}}}") != 1:
            raise ValueError(f"rm.{table}.template has to hold {{{slot}}} once, for what the RM is to read there")


class PairwiseSection(ConfigSection):
    """How a pairwise RM is asked which of two answers is better.

    ``layout`` "answer": an LM, decoder or T5, that names one of ``answers`` behind the ``template``; "labels": a
    sequence classifier over the template's text, with one logit or with two labels of which ``first_label`` says that
    ``{a}`` is better; "pairrm": LLM-Blender's, which has its own template. ``chat`` makes the template a user turn of
    the tokenizer's chat template.
    """

    layout: Literal["answer", "labels", "pairrm"]
    template: str | None = None
    chat: bool = False
    answers: tuple[str, str] = ("A", "B")
    first_label: Literal[0, 1] = 0

    @model_validator(mode="after")
    def _template_complete(self) -> PairwiseSection:
        if (self.template is None) != (self.layout == "pairrm"):
            raise ValueError(
                "rm.pairwise.template is for layouts 'answer' and 'labels', which need it: the text that the RM reads, "
                "with {prompt}, {a} and {b} in it"
            )
        if self.template is not None:
            _require_slots("pairwise", self.template, ("prompt", "a", "b"))
        return self


class JudgeSection(ConfigSection):
    """How a causal LM is asked for a number from ``low`` to ``high``: by ``template`` with ``{prompt}`` and
    ``{response}``, as a user turn of the tokenizer's chat template unless ``chat`` is false.

    ``readout`` "expectation" weighs the whole numbers by their next-token probabilities (``space``: written with a
    space before them); "text" lets the judge write up to ``max_new_tokens`` and takes the number that ``number``, a
    regular expression, finds in its first group.
    """

    template: str
    chat: bool = True
    low: int = 1
    high: int = 5
    readout: Literal["expectation", "text"] = "expectation"
    space: bool = False
    max_new_tokens: int = Field(16, ge=1)
    number: str = r"^\s*(-?\d+(?:\.\d+)?)\s*$"

    @model_validator(mode="after")
    def _askable(self) -> JudgeSection:
        _require_slots("judge", self.template, ("prompt", "response"))
        if not self.low < self.high:
            raise ValueError(f"rm.judge.low has to be below rm.judge.high; got {self.low} and {self.high}")
        try:
            groups = re.compile(self.number).groups
        except re.error as error:
            raise ValueError(f"rm.judge.number is no regular expression: {error}") from error
        if groups < 1:
            raise ValueError("rm.judge.number needs a group, such as '\\[\\[(\\d+)\\]\\]': the number is read there")
        return self


class ProcessSection(ConfigSection):
    """How a process RM reads a response: cut at ``split`` into steps, ``tag`` written after each, a score at each tag.

    The score is the log-odds of ``answers`` (a causal LM's next token) or of label ``good_label`` (a token classifier
    with two labels); ``reduce`` makes one of all steps' scores: the last, the least, or the log of the product of their
    probabilities. ``template`` with ``{prompt}`` and ``{response}``; None: the tokenizer's chat template.
    ``step_token`` names the tag's token where the tag has more than one.
    """

    tag: str
    step_token: str | None = None
    split: str = "\n\n"
    template: str | None = None
    answers: tuple[str, str] = ("+", "-")
    good_label: Literal[0, 1] = 1
    reduce: Literal["last", "min", "product"] = "last"

    @model_validator(mode="after")
    def _template_complete(self) -> ProcessSection:
        if self.template is not None:
            _require_slots("process", self.template, ("prompt", "response"))
        return self


class RewardModelSection(ConfigSection):
    """The RM: a folder, a hub id (docs world brings its own), or the address of a remote one.

    ``dtype`` ranks. Confirmation is in fp32, or in the stored dtype where the model does not fit otherwise.
    ``today`` is the date that a chat template is told which asks for it, so that rewards do not change overnight.
    ``template`` is a chat template, or a file with one, in place of the tokenizer's, ``tokenizer`` where to find one
    that is not beside the weights, ``base`` the model that a LoRA adapter is for, where that is not the one that its
    config names. ``adapter`` says what becomes of one beside whole weights: "merged" with them already, or "apply".
    ``device_map`` spreads one copy, in the confirming dtype, over devices, memory and ``offload_folder`` on disk.
    ``quantise`` holds the ranking copy's weights in int8. ``code_hash`` pins the Python files of a model with code of
    its own. A model that we know by its hub id, or that is ``like`` one, brings settings of its own; what is given here
    wins. What is no scalar classifier says in the table named after its ``kind`` how it is asked. A ``kind`` that an
    installed package registers (``miner.config.kinds``) may have keys of its own beside these.
    """

    source: str | None = None
    like: str | None = None
    kind: str = "classifier"
    device: str = "auto"
    dtype: DType = "auto"
    confirm_dtype: Literal["float32", "native"] = "float32"
    revision: str | None = None
    trust_remote_code: bool = False
    code_hash: str | None = None
    max_length: int | None = Field(None, ge=8)
    truncation: Literal["error", "left", "right"] = "error"
    ascii_only: bool = False
    base: str | None = None
    adapter: Literal["merged", "apply"] | None = None
    tokenizer: str | None = None
    template: str | None = None
    today: date = PINNED_DATE
    attention: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None = None
    quantise: Literal["int8"] | None = None
    device_map: str | dict[str, int | str] | None = None
    offload_folder: str | None = None
    head: HeadSection = HeadSection()
    pairwise: PairwiseSection | None = None
    judge: JudgeSection | None = None
    process: ProcessSection | None = None
    remote: RemoteSection | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _by_kind(cls, values: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """With what is known of its source; read by the section of the kind, where that has one of its own."""
        if not isinstance(values, Mapping):
            return read(values)
        is_remote = "kind" not in values and _is_address(values.get("source"))
        whole = {**values, "kind": "remote"} if is_remote else with_known(values)
        return read_by_kind(cls, whole, read, REWARD_MODELS, whole.get("kind", "classifier"))

    @model_validator(mode="before")
    @classmethod
    def _with_template_itself(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("kind", "classifier") != "classifier":
            return values
        given = values.get("template")
        return {**values, "template": _template_itself(given)} if isinstance(given, str) else values

    @model_validator(mode="after")
    def _asked_as_its_kind(self) -> RewardModelSection:
        for table in ASKING_TABLES:
            if (getattr(self, table) is not None) != (self.kind == table):
                raise ValueError(
                    f"rm.kind is {self.kind!r}: a table [rm.{table}] belongs to kind {table!r}, which needs it"
                )
        if self.kind in ASKING_TABLES and self.truncation != "error":
            raise ValueError(f"rm.truncation would cut what a {self.kind} RM is asked; leave it at 'error'")
        if self.kind in (*ASKING_TABLES, "remote"):
            given = [name for name in CLASSIFIERS_OWN if getattr(self, name) is not None]
            given += ["head"] if self.head != HeadSection() else []
            if given:
                raise ValueError(f"rm.{given[0]} is for scalar classifiers; a {self.kind} RM has no use for it")
        return self

    @model_validator(mode="after")
    def _address_without_secrets(self) -> RewardModelSection:
        if self.kind == "remote" and not _is_address(self.source):
            raise ValueError("a remote RM's source is its address: http://HOST:PORT or https://HOST")
        if self.kind == "remote" and re.search(r"[@?#]", str(self.source)):
            raise ValueError(
                "the address holds a user name, a query or a fragment, which would be stored. "
                "Take it out; a key goes into an environment variable: --set rm.remote.key_env=NAME"
            )
        return self


def _template_itself(given: str) -> str:
    """A chat template, or the text of the file that was named in its place.

    Raises:
        ValueError: it is neither.
    """
    if "{" in given:
        return given
    file = Path(given).expanduser()
    if "\n" in given or not file.is_file():
        raise ValueError(
            f"rm.template={given[:40]!r} is no template: it holds no {{{{ … }}}} that would show the response, and is "
            "no file here"
        )
    return file.read_text(encoding="utf-8-sig")


def _is_address(source: object) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def rm_table_of(model: str) -> Mapping[str, Any]:
    """The RM's table for what a command was given: a campaign file's own, or a folder, hub id or address as source.

    Raises:
        ConfigError: see ``read_rm_table``.
    """
    return read_rm_table(Path(model)) if model.endswith(".toml") else {"source": model}


def read_rm_table(path: Path) -> Mapping[str, Any]:
    """The table of the RM in a campaign file.

    Raises:
        ConfigError: no such file, not TOML, or it names no RM.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the campaign file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    table = raw.get("rm")
    if not isinstance(table, dict) or "source" not in table:
        raise ConfigError(f"{path} names no RM: a table [rm] with a source is needed")
    return table
